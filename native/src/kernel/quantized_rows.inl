// Few tokens times quantized rows: every weight is read and unpacked once for all of them. Rows are too short for the hardware's
// prefetching to catch on, so those that follow are asked for.

/// Rows [row, row + count), W at most. Their weights are turned in registers, so that a lane sums the products of one row in the
/// order of its groups, as panels do: a token gets the same bits alone as among many others.
template <class Format, size_t TOKENS>
static inline void multiplyQuantizedRows(const Linear& op, const QuantizedToken (&x)[TOKENS], size_t row, size_t count) {
  constexpr size_t kSteps = Format::kTwoScales ? 2 : 1, kWordsOfStep = 8 / kSteps;
  constexpr size_t kGroups = W > 8 ? W / 8 : 1;         // of a block of W words a row
  constexpr size_t kBlocks = W > 8 ? 1 : 8 / W;         // of a group
  const size_t bytes = rowBytes(Format::kType, op.inputs), all = op.inputs / 32;
  const uint8_t* rows[W];
  // Where there are fewer, the last is computed more than once.
  for (size_t r = 0; r < W; r++) rows[r] = op.weight + (row + (r < count ? r : count - 1)) * bytes;
  Vec sums[TOKENS] = {};
  for (size_t first = 0; first < all; first += kGroups) {
    const size_t groups = all - first < kGroups ? all - first : kGroups;
    float words[W][kGroups * 8];  // the bits of four weights each
    float scales[kGroups][kSteps][W], minimums[kGroups][W];
    for (size_t r = 0; r < W; r++) {
      for (size_t g = 0; g < kGroups; g++) {
        // Behind the last group of a row, it is taken once more and not used.
        const Group<Format> group(rows[r], first + (g < groups ? g : groups - 1));
        __builtin_prefetch(group.block + W * bytes);
        const Bytes values = group.values();
        memcpy(words[r] + 8 * g, &values, sizeof values);
        for (size_t step = 0; step < kSteps; step++) scales[g][step][r] = group.scale(step);
        if constexpr (Format::kHasMinimum) minimums[g][r] = group.minimum();
      }
    }
    IntVec turned[kBlocks][W];
    for (size_t b = 0; b < kBlocks; b++) {
      Vec block[W];
      for (size_t r = 0; r < W; r++) block[r] = load(words[r] + b * W);
      transpose(block);
      memcpy(turned[b], block, sizeof block);
    }
    const IntVec* word = turned[0];
    for (size_t g = 0; g < groups; g++) {
      const size_t group = first + g;
      for (size_t step = 0; step < kSteps; step++) {
        const Vec scale = load(scales[g][step]);
        for (size_t t = 0; t < TOKENS; t++) {
          const int32_t* negated = x[t].negated + 2 * group;
          IntVec products = IntVec{} + (kSteps == 2 ? negated[step] : negated[0] + negated[1]) * Format::kOffset;
          for (size_t w = 0; w < kWordsOfStep; w++) {
            int32_t inputs;
            memcpy(&inputs, x[t].values + 32 * group + 4 * (step * kWordsOfStep + w), 4);
            products = dotWord<Format::kSigned>(products, word[8 * g + step * kWordsOfStep + w], inputs);
          }
          sums[t] += __builtin_convertvector(products, Vec) * (scale * x[t].scales[group]);
        }
      }
      if constexpr (Format::kHasMinimum) {
        for (size_t t = 0; t < TOKENS; t++) sums[t] += load(minimums[g]) * x[t].sums[group];
      }
    }
  }
  for (size_t t = 0; t < TOKENS; t++) {
    float total[W];
    store(total, sums[t]);
    finishRows(op, total, t, row, count);
  }
}

template <class Format, size_t TOKENS>
static void multiplyQuantizedRowsBy(const Linear& op, const uint8_t* prepared, size_t begin, size_t end) {
  QuantizedToken x[TOKENS];
  for (size_t t = 0; t < TOKENS; t++) x[t] = quantizedToken(prepared, op.inputs, t);
  for (size_t row = begin; row < end; row += W) multiplyQuantizedRows<Format, TOKENS>(op, x, row, end - row < W ? end - row : W);
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
