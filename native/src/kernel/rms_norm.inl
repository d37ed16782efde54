// Root mean square layer normalization (arXiv 1910.07467): y = x / sqrt(mean(x²) + epsilon) · weight
static inline float dot(const float* a, const float* b, size_t count) {
  Vec sum{};
  size_t i = 0;
  for (; i + W <= count; i += W) sum += load(a + i) * load(b + i);
  float total = sumOf(sum);
  for (; i < count; i++) total += a[i] * b[i];
  return total;
}

static void rmsNorm(const float* x, const float* weight, float* y, size_t rows, size_t columns, float epsilon) {
  for (size_t row = 0; row < rows; row++, x += columns, y += columns) {
    const float scale = 1.0f / sqrtf(dot(x, x, columns) / static_cast<float>(columns) + epsilon);
    for (size_t i = 0; i < columns; i++) y[i] = x[i] * scale * weight[i];
  }
}
