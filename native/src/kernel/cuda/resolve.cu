// Indices as they are, but for negative ones, for which -1 - index is looked up in the table.
#include "errors.cuh"

extern "C" __global__ void resolve(const int* indices, const int* table, int* y, int count, int rows, unsigned* error, unsigned operation) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= count) return;
  const int index = indices[i];
  y[i] = index >= 0 ? index : table[checkedIndex(-1 - index, rows, error, operation)];
}
