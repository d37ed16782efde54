// Tokens as integers: each group of 32 inputs is scaled so that the largest becomes 127.

struct QuantizedGroup {
  int8_t values[32];
  float scale;
  float sum;           // of the values, scaled
  int32_t negated[2];  // the negated sums of the first and the second 16 values, which undo the offset of unsigned weights

  /// Four successive values.
  int32_t word(size_t index) const { return loadAs<int32_t>(values + 4 * index); }
};

/// The groups of one token.
using QuantizedToken = const QuantizedGroup*;

static inline size_t quantizedTokenBytes(size_t inputs) { return inputs / 32 * sizeof(QuantizedGroup); }

static inline QuantizedToken quantizedToken(const uint8_t* prepared, size_t inputs, size_t token) {
  return reinterpret_cast<QuantizedToken>(prepared + token * quantizedTokenBytes(inputs));
}

static inline void quantizeGroup(const float* x, QuantizedGroup& to) {
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
    memset(to.values, 0, 32);
    to.scale = to.sum = NAN;
    to.negated[0] = to.negated[1] = 0;
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
  for (size_t i = 0; i < 32; i++) to.values[i] = static_cast<int8_t>(integers[i]);
  to.scale = largest / 127.0f;
  to.sum = to.scale * static_cast<float>(first + second);
  to.negated[0] = -first;
  to.negated[1] = -second;
}

static void quantizeTokens(const float* x, size_t inputs, uint8_t* prepared, size_t begin, size_t end) {
  for (size_t token = begin; token < end; token++) {
    auto* to = reinterpret_cast<QuantizedGroup*>(prepared + token * quantizedTokenBytes(inputs));
    for (size_t group = 0; group < inputs / 32; group++) quantizeGroup(x + token * inputs + group * 32, to[group]);
  }
}
