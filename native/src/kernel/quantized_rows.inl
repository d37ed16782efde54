// Few tokens times quantized rows: every weight is read once, a few rows side by side so that each load of inputs serves
// all of them. Rows are too short for the hardware's prefetching to catch on, so those that follow are asked for.

template <class Format, size_t ROWS>
static inline void multiplyQuantizedRows(const Linear& op, const QuantizedToken& x, size_t token, size_t row) {
  const size_t bytes = rowBytes(Format::kType, op.inputs);
  const uint8_t* weight = op.weight + row * bytes;
  LaneFloats sums[ROWS] = {};
  float minimums[ROWS] = {};
  for (size_t g = 0; g < op.inputs / 32; g++) {
    const Bytes values = loadAs<Bytes>(x.values + 32 * g);
    Lanes start{};
    if constexpr (Format::kOffset != 0) {
      start[0] = x.negated[2 * g] * Format::kOffset;
      start[4] = x.negated[2 * g + 1] * Format::kOffset;
    }
    for (size_t r = 0; r < ROWS; r++) {
      const Group<Format> group(weight + r * bytes, g);
      __builtin_prefetch(group.block + ROWS * bytes);
      const Lanes products = dotBytes<Format::kSigned>(start, group.values(), values);
      const float first = group.scale() * x.scales[g];
      if constexpr (Format::kTwoScales) {
        const float second = group.scale(1) * x.scales[g];
        sums[r] += __builtin_convertvector(products, LaneFloats) * LaneFloats{first, first, first, first, second, second, second, second};
      } else {
        sums[r] += __builtin_convertvector(products, LaneFloats) * first;
      }
      if constexpr (Format::kHasMinimum) minimums[r] += group.minimum() * x.sums[g];
    }
  }
  for (size_t r = 0; r < ROWS; r++) {
    float total = minimums[r];
    for (size_t i = 0; i < 8; i++) total += sums[r][i];
    if (op.bias != nullptr) total += op.bias[row + r];
    if (op.residual != nullptr) total += op.residual[token * op.outputs + row + r];
    op.y[token * op.yStride + row + r] = total;
  }
}

template <class Format>
static void linearByQuantizedRows(const Linear& op, const uint8_t* prepared, size_t begin, size_t end) {
  constexpr size_t kRows = 4;
  size_t row = begin;
  for (; row + kRows <= end; row += kRows) {
    for (size_t t = 0; t < op.tokens; t++) multiplyQuantizedRows<Format, kRows>(op, quantizedToken(prepared, op.inputs, t), t, row);
  }
  for (; row < end; row++) {
    for (size_t t = 0; t < op.tokens; t++) multiplyQuantizedRows<Format, 1>(op, quantizedToken(prepared, op.inputs, t), t, row);
  }
}
