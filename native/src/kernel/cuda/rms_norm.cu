// Root mean square layer normalization (arXiv 1910.07467): y = x / sqrt(mean(x²) + epsilon) · weight. A block for each run of as many
// columns as the weight has.
#include "reductions.cuh"

extern "C" __global__ void rms_norm(const float* x, const float* weight, float* y, int columns, float epsilon) {
  __shared__ float sums[32];
  const float* row = x + static_cast<size_t>(blockIdx.x) * columns;
  float* to = y + static_cast<size_t>(blockIdx.x) * columns;
  float squares = 0;
  for (int i = threadIdx.x; i < columns; i += blockDim.x) squares += row[i] * row[i];
  squares = reduceBlock<Sum>(squares, sums);
  const float scale = 1.0f / sqrtf(squares / static_cast<float>(columns) + epsilon);
  for (int i = threadIdx.x; i < columns; i += blockDim.x) to[i] = row[i] * scale * weight[i];
}
