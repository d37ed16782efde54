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

template <class Format, size_t ROWS, size_t TOKENS>
static inline void multiplyQuantizedRows(const Linear& op, const QuantizedToken (&x)[TOKENS], size_t row) {
  const size_t bytes = rowBytes(Format::kType, op.inputs);
  const uint8_t* weight = op.weight + row * bytes;
  LaneFloats sums[TOKENS][ROWS] = {};
  float minimums[TOKENS][ROWS] = {};
  for (size_t g = 0; g < op.inputs / 32; g++) {
    Lanes starts[TOKENS] = {};
    if constexpr (Format::kOffset != 0) {
      for (size_t t = 0; t < TOKENS; t++) starts[t] = firstOfHalves(x[t].negated + 2 * g) * Format::kOffset;
    }
#pragma GCC unroll 4
    for (size_t r = 0; r < ROWS; r++) {
      const Group<Format> group(weight + r * bytes, g);
      __builtin_prefetch(group.block + ROWS * bytes);
      const Bytes weights = group.values();
      const float first = group.scale();
      [[maybe_unused]] float second = 0, minimum = 0;
      if constexpr (Format::kTwoScales) second = group.scale(1);
      if constexpr (Format::kHasMinimum) minimum = group.minimum();
#pragma GCC unroll 4
      for (size_t t = 0; t < TOKENS; t++) {
        const Lanes products = dotBytes<Format::kSigned>(starts[t], weights, loadAs<Bytes>(x[t].values + 32 * g));
        const LaneFloats exact = __builtin_convertvector(products, LaneFloats);
        const float a = first * x[t].scales[g];
        if constexpr (Format::kTwoScales) {
          const float b = second * x[t].scales[g];
          sums[t][r] += exact * LaneFloats{a, a, a, a, b, b, b, b};
        } else {
          sums[t][r] += exact * a;
        }
        if constexpr (Format::kHasMinimum) minimums[t][r] += minimum * x[t].sums[g];
      }
    }
  }
  for (size_t t = 0; t < TOKENS; t++) {
    for (size_t r = 0; r < ROWS; r++) {
      float total = minimums[t][r];
      for (size_t i = 0; i < 8; i++) total += sums[t][r][i];
      if (op.bias != nullptr) total += op.bias[row + r];
      if (op.residual != nullptr) total += op.residual[t * op.outputs + row + r];
      op.y[t * op.yStride + row + r] = total;
    }
  }
}

template <class Format, size_t TOKENS>
static void multiplyQuantizedRowsBy(const Linear& op, const uint8_t* prepared, size_t begin, size_t end) {
  constexpr size_t kRows = TOKENS > 2 ? 2 : 4;  // so that the sums stay in registers
  QuantizedToken x[TOKENS];
  for (size_t t = 0; t < TOKENS; t++) x[t] = quantizedToken(prepared, op.inputs, t);
  size_t row = begin;
  for (; row + kRows <= end; row += kRows) multiplyQuantizedRows<Format, kRows, TOKENS>(op, x, row);
  for (; row < end; row++) multiplyQuantizedRows<Format, 1, TOKENS>(op, x, row);
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
