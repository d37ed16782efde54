// Rows of x by index. A block a row of the result.
#include "errors.cuh"

extern "C" __global__ void gather_rows(const float* x, const int* indices, float* y, int rows, int columns, unsigned* error,
                                       unsigned operation) {
  const int index = checkedIndex(indices[blockIdx.x], rows, error, operation);
  for (int i = threadIdx.x; i < columns; i += blockDim.x)
    y[static_cast<size_t>(blockIdx.x) * columns + i] = x[static_cast<size_t>(index) * columns + i];
}
