template <class Type>
static void widen(const uint8_t* from, float* to, size_t count) {
  const auto* elements = reinterpret_cast<const typename Type::Element*>(from);
  size_t i = 0;
  for (; i + W <= count; i += W) store(to + i, Type::many(elements + i));
  for (; i < count; i++) to[i] = Type::one(elements + i);
}

template <class Format>
static void dequantize(const uint8_t* from, float* to, size_t count) {
  for (size_t index = 0; index < count / 32; index++, to += 32) {
    const Group<Format> group(from, index);
    const Bytes values = group.values();
    const float scales[2] = {group.scale(0), Format::kTwoScales ? group.scale(1) : group.scale(0)}, minimum = group.minimum();
    for (size_t i = 0; i < 32; i++) {
      const int value = (Format::kSigned ? static_cast<int8_t>(values[i]) : values[i]) - Format::kOffset;
      to[i] = static_cast<float>(value) * scales[i / 16];
      if (Format::kHasMinimum) to[i] += minimum;
    }
  }
}

static void toFloat(const uint8_t* from, DataType type, float* to, size_t count) {
  switch (type) {
    case DataType::Float32: memcpy(to, from, count * sizeof(float)); return;
    case DataType::Float16: return widen<Float16>(from, to, count);
    case DataType::BFloat16: return widen<BFloat16>(from, to, count);
    default: withFormat(type, [&](auto format) { dequantize<decltype(format)>(from, to, count); });
  }
}
