static void add(const float* a, const float* b, float* sum, size_t count) {
  for (size_t i = 0; i < count; i++) sum[i] = a[i] + b[i];
}

// silu(gate) · up, with silu(x) = x / (1 + e^-x)
static void siluMultiply(const float* gate, const float* up, float* y, size_t count) {
  size_t i = 0;
  for (; i + W <= count; i += W) {
    const Vec g = load(gate + i);
    store(y + i, g / (exponential(-g) + 1.0f) * load(up + i));
  }
  for (; i < count; i++) y[i] = gate[i] / (1.0f + expf(-gate[i])) * up[i];
}
