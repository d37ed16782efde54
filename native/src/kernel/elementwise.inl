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

template <class Type>
static void widen(const uint8_t* from, float* to, size_t count) {
  const auto* elements = reinterpret_cast<const typename Type::Element*>(from);
  size_t i = 0;
  for (; i + W <= count; i += W) store(to + i, Type::many(elements + i));
  for (; i < count; i++) to[i] = Type::one(elements + i);
}

static void toFloat(const uint8_t* from, DataType type, float* to, size_t count) {
  switch (type) {
    case DataType::Float32: memcpy(to, from, count * sizeof(float)); return;
    case DataType::Float16: return widen<Float16>(from, to, count);
    case DataType::BFloat16: return widen<BFloat16>(from, to, count);
    case DataType::Int32: return;
  }
}
