#pragma once

// Instructions that CUDA C++ has no name for without headers, which NVRTC may not find: "PTX ISA" by NVIDIA,
// https://docs.nvidia.com/cuda/parallel-thread-execution.

using byte = unsigned char;
using word = unsigned short;

/// The value of an IEEE binary16.
__device__ inline float halfToFloat(word bits) {
  float value;
  asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
  return value;
}

/// The nearest IEEE binary16, ties to even.
__device__ inline word floatToHalf(float value) {
  word bits;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(value));
  return bits;
}
