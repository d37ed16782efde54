// table[indices[i]] = x[i], for the indices that are not negative, of elements of four bytes. A block a row of x. Of rows with the same
// index the last one stays, as where they are written one after the other.
#include "errors.cuh"

extern "C" __global__ void scatter_rows(const unsigned* x, const int* indices, unsigned* table, int count, int rows, int columns,
                                        unsigned* error, unsigned operation) {
  const int index = indices[blockIdx.x];
  if (index < 0) return;
  for (int later = blockIdx.x + 1; later < count; later++) {
    if (indices[later] == index) return;
  }
  const int row = checkedIndex(index, rows, error, operation);
  if (row != index) return;
  for (int i = threadIdx.x; i < columns; i += blockDim.x)
    table[static_cast<size_t>(row) * columns + i] = x[static_cast<size_t>(blockIdx.x) * columns + i];
}
