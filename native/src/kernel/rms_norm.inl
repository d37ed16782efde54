// Root mean square layer normalization (arXiv 1910.07467): y = x / sqrt(mean(x²) + epsilon) · weight
static void rmsNorm(const float* x, const float* weight, float* y, size_t rows, size_t columns, float epsilon) {
  for (size_t row = 0; row < rows; row++, x += columns, y += columns) {
    const float scale = 1.0f / sqrtf(dot(x, x, columns) / static_cast<float>(columns) + epsilon);
    for (size_t i = 0; i < columns; i++) y[i] = x[i] * scale * weight[i];
  }
}
