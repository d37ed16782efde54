// Floats in fewer bits, as ranks send them to each other.

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
    int8_t values[kGroupFloats];
    float scale, sum;
    int32_t negated[2];
    quantizeGroup(x, values, &scale, &sum, negated);
    memcpy(to, &scale, sizeof scale);
    memcpy(to + sizeof scale, values, sizeof values);
    from += own;
    count -= own;
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
