// Many tokens times quantized weights, blocked like the products in float_panel.inl. A panel holds kPanelRows rows by
// kQuantizedDepth inputs as bytes, four successive inputs of a row to a 32-bit lane, so that a lane of a sum belongs to one
// row and an input word is broadcast to all of them:
//   words [group][8][kPanelRows], scales [group][kSteps][kPanelRows], minimums [group][kPanelRows]

constexpr size_t kQuantizedTile = 4;  // 12 integer and 12 float sums, 3 weights and an input
constexpr size_t kQuantizedDepth = 1024;
constexpr size_t kGroupsInDepth = kQuantizedDepth / 32;

struct QuantizedPanel {
  int32_t words[kGroupsInDepth][8][kPanelRows];
  float scales[kGroupsInDepth][2][kPanelRows];
  float minimums[kGroupsInDepth][kPanelRows];
};

template <class Format>
static void packQuantizedPanel(const Linear& op, size_t row, size_t count, size_t groupBegin, size_t groups, QuantizedPanel& panel) {
  const size_t bytes = rowBytes(Format::kType, op.inputs);
  TurnedGroups<Format> turned;
  for (size_t first = 0; first < count; first += W) {
    const uint8_t* rows[W];
    rowsFrom(op.weight, bytes, row + first, smaller(W, count - first), rows);
    for (size_t g = 0; g < groups; g += turned.kGroups) {
      const size_t part = smaller(turned.kGroups, groups - g);
      turned.turn(rows, bytes, groupBegin + g, part);
      for (size_t i = 0; i < part; i++) {
        for (size_t word = 0; word < 8; word++) memcpy(&panel.words[g + i][word][first], &turned.words[8 * i + word], sizeof(IntVec));
        for (size_t step = 0; step < turned.kSteps; step++) store(&panel.scales[g + i][step][first], turned.scales[i][step]);
        if constexpr (Format::kHasMinimum) store(&panel.minimums[g + i][first], turned.minimums[i]);
      }
    }
  }
}

/// sums[t][v] of kQuantizedTile tokens and VECTORS · W rows over the panel's groups.
template <class Format, size_t VECTORS>
static inline __attribute__((always_inline)) void multiplyQuantizedTile(Vec (&sums)[kQuantizedTile][VECTORS],
                                                                        const QuantizedToken (&x)[kQuantizedTile], size_t groupBegin,
                                                                        size_t groups, const QuantizedPanel& panel) {
  constexpr size_t kSteps = Format::kTwoScales ? 2 : 1, kWords = 8 / kSteps;
  for (size_t g = 0; g < groups; g++) {
    const size_t group = groupBegin + g;
    for (size_t step = 0; step < kSteps; step++) {
      WordSum<Format, kWords> products[kQuantizedTile][VECTORS];
      for (size_t t = 0; t < kQuantizedTile; t++) {
        const int32_t* negated = x[t][group].negated;
        const int32_t start = (kSteps == 2 ? negated[step] : negated[0] + negated[1]) * Format::kOffset;
        for (size_t v = 0; v < VECTORS; v++) products[t][v] = WordSum<Format, kWords>(start);
      }
      for (size_t word = step * kWords; word < (step + 1) * kWords; word++) {
        IntVec weights[VECTORS];
        for (size_t v = 0; v < VECTORS; v++) weights[v] = loadAs<IntVec>(panel.words[g][word] + v * W);
        for (size_t t = 0; t < kQuantizedTile; t++) {
          const int32_t inputs = x[t][group].word(word);
          for (size_t v = 0; v < VECTORS; v++) products[t][v].add(weights[v], inputs);
        }
      }
      for (size_t v = 0; v < VECTORS; v++) {
        const Vec scale = load(panel.scales[g][step] + v * W);
        for (size_t t = 0; t < kQuantizedTile; t++)
          sums[t][v] += __builtin_convertvector(products[t][v].total(), Vec) * (scale * x[t][group].scale);
      }
    }
    if constexpr (Format::kHasMinimum) {
      for (size_t v = 0; v < VECTORS; v++) {
        const Vec minimum = load(panel.minimums[g] + v * W);
        for (size_t t = 0; t < kQuantizedTile; t++) sums[t][v] += minimum * x[t][group].sum;
      }
    }
  }
}

template <class Format, size_t VECTORS>
static void multiplyQuantizedPanel(const Linear& op, const uint8_t* prepared, const QuantizedPanel& panel, float* partial, size_t row,
                                   size_t count, size_t groupBegin, size_t groups) {
  for (size_t token = 0; token < op.tokens; token += kQuantizedTile, partial += kQuantizedTile * kPanelRows) {
    QuantizedToken x[kQuantizedTile];
    // A last tile that is not full computes its last token more than once.
    for (size_t t = 0; t < kQuantizedTile; t++) x[t] = quantizedToken(prepared, op.inputs, smaller(token + t, op.tokens - 1));
    Vec sums[kQuantizedTile][VECTORS] = {};
    if (groupBegin > 0) {
      for (size_t t = 0; t < kQuantizedTile; t++) {
        for (size_t v = 0; v < VECTORS; v++) sums[t][v] = load(partial + t * kPanelRows + v * W);
      }
    }
    multiplyQuantizedTile<Format, VECTORS>(sums, x, groupBegin, groups, panel);
    for (size_t t = 0; t < kQuantizedTile; t++) {
      for (size_t v = 0; v < VECTORS; v++) store(partial + t * kPanelRows + v * W, sums[t][v]);
    }
    if ((groupBegin + groups) * 32 == op.inputs) finishTile<kQuantizedTile>(op, partial, token, row, count);
  }
}

static size_t quantizedPanelBytes(size_t tokens) {
  const size_t padded = (tokens + kQuantizedTile - 1) / kQuantizedTile * kQuantizedTile;
  return sizeof(QuantizedPanel) + padded * kPanelRows * sizeof(float);
}

template <class Format>
static void linearByQuantizedPanels(const Linear& op, const uint8_t* prepared, uint8_t* scratch, size_t rowBegin, size_t rowEnd) {
  auto& panel = *reinterpret_cast<QuantizedPanel*>(scratch);
  auto* partial = reinterpret_cast<float*>(scratch + sizeof(QuantizedPanel));
  const size_t all = op.inputs / 32;
  for (size_t row = rowBegin; row < rowEnd; row += kPanelRows) {
    const size_t count = smaller(kPanelRows, rowEnd - row);
    for (size_t begin = 0; begin < all; begin += kGroupsInDepth) {
      const size_t groups = smaller(kGroupsInDepth, all - begin);
      packQuantizedPanel<Format>(op, row, count, begin, groups, panel);
      if (count > 2 * W)
        multiplyQuantizedPanel<Format, 3>(op, prepared, panel, partial, row, count, begin, groups);
      else if (count > W)
        multiplyQuantizedPanel<Format, 2>(op, prepared, panel, partial, row, count, begin, groups);
      else
        multiplyQuantizedPanel<Format, 1>(op, prepared, panel, partial, row, count, begin, groups);
    }
  }
}
