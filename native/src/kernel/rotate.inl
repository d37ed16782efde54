// Rotary position embedding (arXiv 2104.09864) in the layout of Hugging Binding checkpoints: dimension i of a head turns
// together with dimension i + headSize/2.
static void rotate(const float* x, const float* table, float* y, size_t rows, size_t heads, size_t headSize) {
  const size_t half = headSize / 2;
  for (size_t row = 0; row < rows; row++, table += headSize) {
    const float* cosine = table;
    const float* sine = table + half;
    for (size_t head = 0; head < heads; head++, x += headSize, y += headSize) {
      for (size_t i = 0; i < half; i++) {
        const float a = x[i], b = x[i + half];
        y[i] = a * cosine[i] - b * sine[i];
        y[i + half] = b * cosine[i] + a * sine[i];
      }
    }
  }
}
