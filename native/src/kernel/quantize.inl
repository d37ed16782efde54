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

/// The sum of the first or the second half of 32 integers.
static inline int32_t sumOfHalf(const IntVec (&integers)[32 / W], size_t half) {
  constexpr size_t kVectors = 16 / W;
  IntVec sum = integers[half * kVectors];
  for (size_t i = 1; i < kVectors; i++) sum += integers[half * kVectors + i];
  return sumOf(sum);
}

static inline void quantizeGroup(const float* x, QuantizedGroup& to) {
  // As integers, bits of floats without a sign are in the order of their values.
  IntVec largestBits{};
  for (size_t i = 0; i < 32; i += W) {
    const IntVec bits = loadAs<IntVec>(x + i) & 0x7fffffff;
    largestBits = largestBits > bits ? largestBits : bits;
  }
  const float largest = floatOf(static_cast<uint32_t>(largestOf(largestBits)));
  if (!(largest <= 3.40282347e+38f)) {
    // A group with NaN or infinity has no scale: all that is computed from it becomes NaN.
    memset(to.values, 0, 32);
    to.scale = to.sum = NAN;
    to.negated[0] = to.negated[1] = 0;
    return;
  }
  const float toInteger = largest > 1e-36f ? 127.0f / largest : 0.0f;  // which is infinite for less, and then all become zeros
  IntVec integers[32 / W];
  for (size_t i = 0; i < 32; i += W) {
    const Vec shifted = load(x + i) * toInteger + 12582912.0f;  // 1.5 · 2^23: rounds to the nearest integer
    typedef int8_t Values __attribute__((vector_size(W)));
    integers[i / W] = __builtin_convertvector(shifted - 12582912.0f, IntVec);
    const auto values = __builtin_convertvector(integers[i / W], Values);
    memcpy(to.values + i, &values, sizeof values);
  }
  const int32_t first = sumOfHalf(integers, 0), second = sumOfHalf(integers, 1);
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
