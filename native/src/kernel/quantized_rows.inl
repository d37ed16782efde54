// Few tokens times quantized rows: every weight is read and unpacked once for all of them. Rows are too short for the hardware's
// prefetching to catch on, so those that follow are asked for.

/// Groups of W rows side by side, turned in registers: a lane of a word belongs to one row.
template <class Format>
struct TurnedGroups {
  static constexpr size_t kSteps = Format::kTwoScales ? 2 : 1;
  static constexpr size_t kGroups = W > 8 ? W / 8 : 1;  // which fill W words of a row
  static constexpr size_t kBlocks = W > 8 ? 1 : 8 / W;  // of W words, in a group

  /// Groups [first, first + groups) of the rows, kGroups at most.
  inline __attribute__((always_inline)) void turn(const uint8_t* const (&rows)[W], size_t rowBytes, size_t first, size_t groups) {
    float bits[W][kGroups * 8];  // of four weights each
    float scale[kGroups][kSteps][W], minimum[kGroups][W];
    for (size_t r = 0; r < W; r++) {
      for (size_t g = 0; g < kGroups; g++) {
        // Behind the last group of a row, it is taken once more and not used.
        const Group<Format> group(rows[r], first + (g < groups ? g : groups - 1));
        __builtin_prefetch(group.block + W * rowBytes);
        const Bytes values = group.values();
        memcpy(bits[r] + 8 * g, &values, sizeof values);
        for (size_t step = 0; step < kSteps; step++) scale[g][step][r] = group.scale(step);
        if constexpr (Format::kHasMinimum) minimum[g][r] = group.minimum();
      }
    }
    for (size_t b = 0; b < kBlocks; b++) {
      Vec block[W];
      for (size_t r = 0; r < W; r++) block[r] = load(bits[r] + b * W);
      transpose(block);
      memcpy(words + b * W, block, sizeof block);
    }
    for (size_t g = 0; g < kGroups; g++) {
      for (size_t step = 0; step < kSteps; step++) scales[g][step] = load(scale[g][step]);
      if constexpr (Format::kHasMinimum) minimums[g] = load(minimum[g]);
    }
  }

  IntVec words[8 * kGroups];
  Vec scales[kGroups][kSteps], minimums[kGroups];
};

/// W rows from `row` on; where there are fewer, the last comes more than once.
static inline void rowsFrom(const uint8_t* weight, size_t rowBytes, size_t row, size_t count, const uint8_t* (&rows)[W]) {
  for (size_t r = 0; r < W; r++) rows[r] = weight + (row + (r < count ? r : count - 1)) * rowBytes;
}

/// Rows [row, row + count), W at most, times `tokens` tokens, TOKENS at most. Sums go in the order of the groups, as in panels: a token
/// gets the same bits alone as among many others.
template <class Format, size_t TOKENS>
static inline void multiplyQuantizedRows(const Linear& op, const QuantizedToken (&x)[TOKENS], size_t token, size_t tokens, size_t row,
                                         size_t count) {
  using Turned = TurnedGroups<Format>;
  constexpr size_t kWords = 8 / Turned::kSteps;
  const size_t bytes = rowBytes(Format::kType, op.inputs), all = op.inputs / 32;
  const uint8_t* rows[W];
  rowsFrom(op.weight, bytes, row, count, rows);
  Vec sums[TOKENS] = {};
  Turned turned;
  for (size_t first = 0; first < all; first += Turned::kGroups) {
    const size_t groups = smaller(Turned::kGroups, all - first);
    turned.turn(rows, bytes, first, groups);
    for (size_t g = 0; g < groups; g++) {
      const size_t group = first + g;
      for (size_t step = 0; step < Turned::kSteps; step++) {
        const IntVec* words = turned.words + 8 * g + step * kWords;
        for (size_t t = 0; t < TOKENS; t++) {
          const QuantizedGroup& inputs = x[t][group];
          const int32_t* negated = inputs.negated;
          WordSum<Format, kWords> products((Turned::kSteps == 2 ? negated[step] : negated[0] + negated[1]) * Format::kOffset);
          for (size_t w = 0; w < kWords; w++) products.add(words[w], inputs.word(step * kWords + w));
          sums[t] += __builtin_convertvector(products.total(), Vec) * (turned.scales[g][step] * inputs.scale);
        }
      }
      if constexpr (Format::kHasMinimum) {
        for (size_t t = 0; t < TOKENS; t++) sums[t] += turned.minimums[g] * x[t][group].sum;
      }
    }
  }
  for (size_t t = 0; t < tokens; t++) {
    float total[W];
    store(total, sums[t]);
    finishRows(op, total, token + t, row, count);
  }
}

/// Tokens [token, token + tokens), TOKENS at most, times rows [begin, end).
template <class Format, size_t TOKENS>
static void multiplyQuantizedRowsBy(const Linear& op, const uint8_t* prepared, size_t token, size_t tokens, size_t begin, size_t end) {
  QuantizedToken x[TOKENS];
  for (size_t t = 0; t < TOKENS; t++) x[t] = quantizedToken(prepared, op.inputs, token + smaller(t, tokens - 1));
  for (size_t row = begin; row < end; row += W) multiplyQuantizedRows<Format, TOKENS>(op, x, token, tokens, row, smaller(W, end - row));
}

template <class Format>
static void linearByQuantizedRows(const Linear& op, const uint8_t* prepared, size_t begin, size_t end) {
  constexpr size_t kMost = 8;
  for (size_t token = 0; token < op.tokens; token += kMost) {
    const size_t tokens = smaller(kMost, op.tokens - token);
    if (tokens == 1)
      multiplyQuantizedRowsBy<Format, 1>(op, prepared, token, tokens, begin, end);
    else if (tokens == 2)
      multiplyQuantizedRowsBy<Format, 2>(op, prepared, token, tokens, begin, end);
    else if (tokens <= 4)
      multiplyQuantizedRowsBy<Format, 4>(op, prepared, token, tokens, begin, end);
    else
      multiplyQuantizedRowsBy<Format, kMost>(op, prepared, token, tokens, begin, end);
  }
}
