#pragma once

/// What a run finds wrong with an index that it computed itself goes to a word of device memory: the number of the operation, plus 1, of
/// the first that says so. The index is clamped, so that nothing is read or written out of bounds meanwhile.
__device__ inline int checkedIndex(int index, int count, unsigned* error, unsigned operation) {
  if (index >= 0 && index < count) return index;
  atomicCAS(error, 0u, operation + 1);
  return index < 0 ? 0 : count - 1;
}
