#pragma once

// What a compiled kernel and the test double that executes it know of each other: see execution.h.

namespace gpu_double {

struct Index {
  unsigned x, y, z;
};

enum class Access : unsigned { Read, Write, Atomic };
enum class Exchange : int { Wait, Shuffle, Ballot };

/// The thread that is executed, as kernels see it. `lowestOfStack` and `bytesOfStack` are where its local variables lie.
struct Here {
  Index threadIdx, blockIdx, blockDim, gridDim;
  unsigned lane;
  unsigned long lowestOfStack, bytesOfStack;
  /// Before every access to memory that is not the thread's own. It does not return from one that may not be.
  void (*access)(const void* address, unsigned long bytes, Access kind, bool mustBeAligned, const void* site);
  /// __syncthreads()
  void (*barrier)(const void* site);
  /// What the lanes of `mask` exchange: the value of lane `source`, or the lanes whose value is not 0.
  unsigned long long (*exchange)(Exchange kind, unsigned mask, unsigned long long value, unsigned source, const void* site);
  /// Where a kernel's parameter of a device address really lies.
  void* (*translate)(const void* address);
};

}  // namespace gpu_double
