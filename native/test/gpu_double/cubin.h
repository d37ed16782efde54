#pragma once

#include <cstdint>

namespace gpu_double {

/// What a "cubin" of the double begins with; a shared object of `bytes` bytes follows.
struct CubinHead {
  char magic[16];
  uint64_t bytes;
};

constexpr char kCubinMagic[16] = "gpu test double";

}  // namespace gpu_double
