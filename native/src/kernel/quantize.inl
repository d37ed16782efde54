// Tokens as integers: each group of 32 inputs is scaled so that the largest becomes 127. One token's groups are
// [inputs] int8 values, then for each group a float scale, the scaled sum of its values, and the negated sums of its first
// and second 16 values, which undo the offset of unsigned weights.

struct QuantizedToken {
  const int8_t* values;
  const float* scales;
  const float* sums;
  const int32_t* negated;  // two a group
};

static inline size_t quantizedTokenBytes(size_t inputs) { return inputs + inputs / 32 * 16; }

static inline QuantizedToken quantizedToken(const uint8_t* prepared, size_t inputs, size_t token) {
  const uint8_t* start = prepared + token * quantizedTokenBytes(inputs);
  const auto* scales = reinterpret_cast<const float*>(start + inputs);
  const size_t groups = inputs / 32;
  return {reinterpret_cast<const int8_t*>(start), scales, scales + groups, reinterpret_cast<const int32_t*>(scales + 2 * groups)};
}

static inline void quantizeGroup(const float* x, int8_t* values, float* scale, float* sum, int32_t* negated) {
  // As integers, bits of floats without a sign are in the order of their values.
  int32_t largestBits = 0;
  for (size_t i = 0; i < 32; i++) {
    int32_t bits;
    memcpy(&bits, x + i, sizeof bits);
    bits &= 0x7fffffff;
    largestBits = bits > largestBits ? bits : largestBits;
  }
  const float largest = floatOf(static_cast<uint32_t>(largestBits));
  if (!(largest <= 3.40282347e+38f)) {
    // A group with NaN or infinity has no scale: all that is computed from it becomes NaN.
    memset(values, 0, 32);
    *scale = *sum = NAN;
    negated[0] = negated[1] = 0;
    return;
  }
  const float toInteger = largest > 0 ? 127.0f / largest : 0.0f;
  int32_t integers[32];
  for (size_t i = 0; i < 32; i++) {
    const float shifted = x[i] * toInteger + 12582912.0f;  // 1.5 · 2^23: rounds to the nearest integer
    integers[i] = static_cast<int32_t>(shifted - 12582912.0f);
  }
  int32_t first = 0, second = 0;
  for (size_t i = 0; i < 16; i++) first += integers[i];
  for (size_t i = 16; i < 32; i++) second += integers[i];
  for (size_t i = 0; i < 32; i++) values[i] = static_cast<int8_t>(integers[i]);
  *scale = largest / 127.0f;
  *sum = *scale * static_cast<float>(first + second);
  negated[0] = -first;
  negated[1] = -second;
}

static void quantizeTokens(const float* x, size_t inputs, uint8_t* prepared, size_t begin, size_t end) {
  for (size_t token = begin; token < end; token++) {
    const QuantizedToken to = quantizedToken(prepared, inputs, token);
    for (size_t group = 0; group < inputs / 32; group++) {
      quantizeGroup(x + token * inputs + group * 32, const_cast<int8_t*>(to.values) + group * 32, const_cast<float*>(to.scales) + group,
                    const_cast<float*>(to.sums) + group, const_cast<int32_t*>(to.negated) + 2 * group);
    }
  }
}
