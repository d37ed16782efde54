#pragma once

// Sums and maxima over the threads of a block, in an order that is always the same.

constexpr unsigned kAllLanes = 0xffffffffu;
#define kInfinity __int_as_float(0x7f800000)

struct Sum {
  template <class T>
  __device__ static T of(T a, T b) { return a + b; }
};
/// NaN is passed over.
struct Maximum {
  template <class T>
  __device__ static T of(T a, T b) { return b > a ? b : a; }
};

template <class Operation, class T>
__device__ T reduceWarp(T value) {
  for (int lanes = 16; lanes > 0; lanes /= 2) value = Operation::of(value, __shfl_xor_sync(kAllLanes, value, lanes));
  return value;
}

/// Of whole warps, up to 32 of them; every thread gets the result. `shared` has room for one value a warp.
template <class Operation, class T>
__device__ T reduceBlock(T value, T* shared) {
  const int warps = blockDim.x / 32;
  value = reduceWarp<Operation>(value);
  __syncthreads();  // what was reduced before has been read
  if (threadIdx.x % 32 == 0) shared[threadIdx.x / 32] = value;
  __syncthreads();
  value = shared[0];
  for (int i = 1; i < warps; i++) value = Operation::of(value, shared[i]);
  return value;
}
