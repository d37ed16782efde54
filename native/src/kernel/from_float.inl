// Floats in fewer bits, as ranks send them to each other and caches keep them.

/// The bits of the nearest IEEE binary16, ties to even; too large ones become infinite, and a NaN stays one.
static inline uint16_t nearestFloat16(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  const uint32_t sign = bits >> 16 & 0x8000, magnitude = bits & 0x7fffffff;
  uint32_t half;
  if (magnitude > 0x7f800000) {
    half = 0x7e00 | (magnitude >> 13 & 0x3ff);
  } else if (magnitude >= 0x477ff000) {
    half = 0x7c00;
  } else if (magnitude >= 0x38800000) {
    half = (magnitude + 0xfff + (magnitude >> 13 & 1) - 0x38000000) >> 13;
  } else {
    // Subnormal: multiples of 2^-24, which is the distance between floats from 0.5 on.
    const float shifted = floatOf(magnitude) + 0.5f;
    memcpy(&half, &shifted, sizeof half);
    half -= 0x3f000000;
  }
  return static_cast<uint16_t>(sign | half);
}

static void toFloat16(const float* from, uint16_t* to, size_t count) {
  size_t i = 0;
#if defined(__F16C__)
  for (; i + 8 <= count; i += 8) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to + i), _mm256_cvtps_ph(_mm256_loadu_ps(from + i), _MM_FROUND_TO_NEAREST_INT));
  }
#endif
  for (; i < count; i++) to[i] = nearestFloat16(from[i]);
}

// To the nearest, ties to even; a NaN stays one.
static void toBfloat16(const float* from, uint16_t* to, size_t count) {
  for (size_t i = 0; i < count; i++) {
    uint32_t bits;
    memcpy(&bits, from + i, sizeof bits);
    const uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16, quieted = bits >> 16 | 0x40;
    to[i] = static_cast<uint16_t>((bits & 0x7fffffff) > 0x7f800000 ? quieted : rounded);
  }
}

// Groups of kGroupFloats: a float scale, then as many int8 values, the largest of which is 127 or -127. A last group that is
// not full is filled up with zeros.
static void toInt8Groups(const float* from, uint8_t* to, size_t count) {
  for (; count > 0; to += kGroupBytes) {
    const size_t own = smaller(kGroupFloats, count);
    float x[kGroupFloats] = {};
    memcpy(x, from, own * sizeof(float));
    QuantizedGroup group;
    quantizeGroup(x, group);
    memcpy(to, &group.scale, sizeof group.scale);
    memcpy(to + sizeof group.scale, group.values, sizeof group.values);
    from += own;
    count -= own;
  }
}

static void fromFloat(const float* from, DataType type, uint8_t* to, size_t count) {
  switch (type) {
    case DataType::Float32: memcpy(to, from, count * sizeof(float)); return;
    case DataType::Float16: return toFloat16(from, reinterpret_cast<uint16_t*>(to), count);
    case DataType::BFloat16: return toBfloat16(from, reinterpret_cast<uint16_t*>(to), count);
    case DataType::Int8: return toInt8Groups(from, to, count);
    default: return;
  }
}

// to += what toInt8Groups() wrote
static void addInt8Groups(const uint8_t* from, float* to, size_t count) {
  for (; count > 0; from += kGroupBytes) {
    const size_t own = smaller(kGroupFloats, count);
    float scale;
    int8_t values[kGroupFloats];
    memcpy(&scale, from, sizeof scale);
    memcpy(values, from + sizeof scale, sizeof values);
    for (size_t i = 0; i < own; i++) to[i] += static_cast<float>(values[i]) * scale;
    to += own;
    count -= own;
  }
}
