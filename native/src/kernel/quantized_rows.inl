// Few tokens times quantized rows: every weight is read and unpacked once for all of them, a few rows side by side so that each
// load of inputs serves all rows. Rows are too short for the hardware's prefetching to catch on, so those that follow are asked
// for.

/// Two integers, as the first lanes of the two halves.
static inline Lanes firstOfHalves(const int32_t* pair) {
  int64_t both;
  memcpy(&both, pair, sizeof both);
  using Longs = int64_t __attribute__((vector_size(32)));
  return __builtin_shuffle((Lanes)Longs{both}, Lanes{0, 2, 2, 2, 1, 2, 2, 2});
}

typedef float RowFloats __attribute__((vector_size(16)));
typedef int32_t RowInts __attribute__((vector_size(16)));
constexpr size_t kRowsOfVector = 4;

/// The sums of the lower lanes of four vectors, and of their upper ones.
struct HalfSums {
  RowInts lower, upper;
};

static inline HalfSums halfSums(const Lanes (&products)[kRowsOfVector]) {
#if defined(__AVX2__)
  const __m256i first = _mm256_hadd_epi32((__m256i)products[0], (__m256i)products[1]);
  const __m256i second = _mm256_hadd_epi32((__m256i)products[2], (__m256i)products[3]);
  const __m256i sums = _mm256_hadd_epi32(first, second);
  return {(RowInts)_mm256_castsi256_si128(sums), (RowInts)_mm256_extracti128_si256(sums, 1)};
#else
  HalfSums sums = {};
  for (size_t r = 0; r < kRowsOfVector; r++) {
    for (size_t i = 0; i < 4; i++) {
      sums.lower[r] += products[r][i];
      sums.upper[r] += products[r][i + 4];
    }
  }
  return sums;
#endif
}

/// Rows [row, row + count), four at most. A lane sums the products of one row in the order of its groups, as panels do: a token gets
/// the same bits alone as among many others.
template <class Format, size_t TOKENS>
static inline void multiplyQuantizedRows(const Linear& op, const QuantizedToken (&x)[TOKENS], size_t row, size_t count) {
  const size_t bytes = rowBytes(Format::kType, op.inputs);
  const uint8_t* rows[kRowsOfVector];
  // Where there are fewer, the last is computed more than once.
  for (size_t r = 0; r < kRowsOfVector; r++) rows[r] = op.weight + (row + (r < count ? r : count - 1)) * bytes;
  RowFloats sums[TOKENS] = {};
  for (size_t g = 0; g < op.inputs / 32; g++) {
    Lanes starts[TOKENS] = {};
    if constexpr (Format::kOffset != 0) {
      for (size_t t = 0; t < TOKENS; t++) starts[t] = firstOfHalves(x[t].negated + 2 * g) * Format::kOffset;
    }
    Lanes products[TOKENS][kRowsOfVector];
    RowFloats first, second, minimum;
#pragma GCC unroll 4
    for (size_t r = 0; r < kRowsOfVector; r++) {
      const Group<Format> group(rows[r], g);
      __builtin_prefetch(group.block + kRowsOfVector * bytes);
      const Bytes weights = group.values();
      first[r] = group.scale();
      if constexpr (Format::kTwoScales) second[r] = group.scale(1);
      if constexpr (Format::kHasMinimum) minimum[r] = group.minimum();
#pragma GCC unroll 4
      for (size_t t = 0; t < TOKENS; t++)
        products[t][r] = dotBytes<Format::kSigned>(starts[t], weights, loadAs<Bytes>(x[t].values + 32 * g));
    }
#pragma GCC unroll 4
    for (size_t t = 0; t < TOKENS; t++) {
      const auto [lower, upper] = halfSums(products[t]);
      if constexpr (Format::kTwoScales) {
        sums[t] += __builtin_convertvector(lower, RowFloats) * (first * x[t].scales[g]);
        sums[t] += __builtin_convertvector(upper, RowFloats) * (second * x[t].scales[g]);
      } else {
        sums[t] += __builtin_convertvector(lower + upper, RowFloats) * (first * x[t].scales[g]);
      }
      if constexpr (Format::kHasMinimum) sums[t] += minimum * x[t].sums[g];
    }
  }
  for (size_t t = 0; t < TOKENS; t++) {
    float total[kRowsOfVector];
    memcpy(total, &sums[t], sizeof total);
    finishRows(op, total, t, row, count);
  }
}

template <class Format, size_t TOKENS>
static void multiplyQuantizedRowsBy(const Linear& op, const uint8_t* prepared, size_t begin, size_t end) {
  QuantizedToken x[TOKENS];
  for (size_t t = 0; t < TOKENS; t++) x[t] = quantizedToken(prepared, op.inputs, t);
  for (size_t row = begin; row < end; row += kRowsOfVector)
    multiplyQuantizedRows<Format, TOKENS>(op, x, row, end - row < kRowsOfVector ? end - row : kRowsOfVector);
}

/// Of at most kFewQuantizedTokens.
template <class Format>
static void linearByQuantizedRows(const Linear& op, const uint8_t* prepared, size_t begin, size_t end) {
  static_assert(kFewQuantizedTokens == 4);
  switch (op.tokens) {
    case 1: return multiplyQuantizedRowsBy<Format, 1>(op, prepared, begin, end);
    case 2: return multiplyQuantizedRowsBy<Format, 2>(op, prepared, begin, end);
    case 3: return multiplyQuantizedRowsBy<Format, 3>(op, prepared, begin, end);
    case 4: return multiplyQuantizedRowsBy<Format, 4>(op, prepared, begin, end);
  }
}
