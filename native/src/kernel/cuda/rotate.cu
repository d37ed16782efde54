// Rotary position embedding (arXiv 2104.09864): element i of a head turns together with element i + headSize/2, by the cosine and the sine
// that the row's table has for i. A block a row; y may be the memory of x.
extern "C" __global__ void rotate(const float* x, const float* table, float* y, int columns, int headSize) {
  const int half = headSize / 2;
  const float* cosines = table + static_cast<size_t>(blockIdx.x) * headSize;
  const float* sines = cosines + half;
  for (int pair = threadIdx.x; pair < columns / 2; pair += blockDim.x) {
    const int i = pair % half;
    const size_t at = static_cast<size_t>(blockIdx.x) * columns + static_cast<size_t>(pair / half) * headSize + i;
    const float a = x[at], b = x[at + half];
    y[at] = a * cosines[i] - b * sines[i];
    y[at + half] = b * cosines[i] + a * sines[i];
  }
}
