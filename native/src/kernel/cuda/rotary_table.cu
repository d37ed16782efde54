// [rows], [half] → [rows, 2 · half]: cosines, then sines, of position · frequency, times `scale`. A block a row.
extern "C" __global__ void rotary_table(const int* positions, const float* frequencies, float* table, int half, float scale) {
  float* row = table + static_cast<size_t>(blockIdx.x) * 2 * half;
  const float position = static_cast<float>(positions[blockIdx.x]);
  for (int i = threadIdx.x; i < half; i += blockDim.x) {
    const float angle = position * frequencies[i];
    row[i] = cosf(angle) * scale;
    row[half + i] = sinf(angle) * scale;
  }
}
