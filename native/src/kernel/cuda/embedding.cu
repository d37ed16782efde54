// Rows of a table by index; an index outside of [start, start + rows) gives zeros. A block a token. TYPE is the type of the table.
#include "elements.cuh"

extern "C" __global__ void embedding(const int* tokens, const byte* table, float* y, int rows, int columns, int start) {
  const long long index = static_cast<long long>(tokens[blockIdx.x]) - start;
  const bool isOwn = index >= 0 && index < rows;
  const byte* row = table + (isOwn ? static_cast<size_t>(index) * bytesOfRow<TYPE>(columns) : 0);
  float* to = y + static_cast<size_t>(blockIdx.x) * columns;
  for (int i = threadIdx.x; i < columns; i += blockDim.x) to[i] = isOwn ? elementAt<TYPE>(row, i) : 0.0f;
}
