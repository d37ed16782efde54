// Products of many tokens in float32, blocked as in Goto and van de Geijn, "Anatomy of High-Performance Matrix
// Multiplication" (ACM TOMS 34 (3), 2008). Panels of kPanelRows weight rows by kDepth inputs are widened to float32 and
// transposed into a thread's own memory, where they stay in the second-level cache while all tokens pass. Tokens pass in
// tiles of kTile, packed once for all panels, so that one tile's products with one panel are held in registers.

#if TROUPE_VECTOR_FLOATS == 16
constexpr size_t kTile = 8;  // 24 sums, 3 weights and an input fill 28 of 32 registers
#else
constexpr size_t kTile = 4;  // 12 sums, 3 weights and an input fill 16 registers
#endif
constexpr size_t kPanelVectors = 3;
constexpr size_t kPanelRows = kPanelVectors * W;
constexpr size_t kDepth = 1024;

/// Tokens from which on a product is worth packing weights for.
constexpr size_t kFewTokens = 12;
/// The same of quantized weights, which rows unpack anew for each token and panels once.
constexpr size_t kFewQuantizedTokens = 8;

static bool usesPanels(DataType type, size_t tokens) { return tokens > (isQuantized(type) ? kFewQuantizedTokens : kFewTokens); }

/// sums[t][v] += x[t] · panel[:, v], over `depth` steps; x[t] is at x + t · rowStride, its steps stepStride apart.
template <size_t VECTORS>
static inline __attribute__((always_inline)) void multiplyTile(Vec (&sums)[kTile][VECTORS], const float* x, size_t rowStride,
                                                               size_t stepStride, const float* panel, size_t panelStride, size_t depth) {
  for (size_t k = 0; k < depth; k++, x += stepStride, panel += panelStride) {
    Vec weights[VECTORS];
    for (size_t v = 0; v < VECTORS; v++) weights[v] = load(panel + v * W);
    for (size_t t = 0; t < kTile; t++) {
      const Vec value = broadcast(x + t * rowStride);
      for (size_t v = 0; v < VECTORS; v++) sums[t][v] += value * weights[v];
    }
  }
}

/// [tokens, inputs] → [tiles][inputs][kTile]; the last tile is filled up with zeros.
static void packTokens(const float* x, size_t tokens, size_t inputs, float* packed, size_t tileBegin, size_t tileEnd) {
  for (size_t tile = tileBegin; tile < tileEnd; tile++) {
    float* to = packed + tile * inputs * kTile;
    for (size_t t = 0; t < kTile; t++) {
      const size_t token = tile * kTile + t;
      if (token < tokens) {
        for (size_t k = 0; k < inputs; k++) to[k * kTile + t] = x[token * inputs + k];
      } else {
        for (size_t k = 0; k < inputs; k++) to[k * kTile + t] = 0;
      }
    }
  }
}

/// Rows [row, row + count) of the weight, inputs [begin, begin + depth) → panel [depth][kPanelRows]; missing rows are zeros.
/// Inputs before `begin` must be whole blocks of the weight's type.
static void packPanel(const Linear& op, size_t row, size_t count, size_t begin, size_t depth, float* panel) {
  constexpr size_t kChunk = 256;  // whole blocks of every type, and small enough for the first-level cache
  float wide[W][kChunk];
  const size_t bytes = rowBytes(op.weightType, op.inputs);
  for (size_t first = 0; first < kPanelRows; first += W) {
    for (size_t done = 0; done < depth; done += kChunk) {
      const size_t part = smaller(kChunk, depth - done);
      for (size_t r = 0; r < W; r++) {
        if (first + r < count)
          toFloat(op.weight + (row + first + r) * bytes + rowBytes(op.weightType, begin + done), op.weightType, wide[r], part);
        else
          memset(wide[r], 0, part * sizeof(float));
      }
      float* to = panel + done * kPanelRows + first;
      size_t k = 0;
      for (; k + W <= part; k += W) {
        Vec block[W];
        for (size_t r = 0; r < W; r++) block[r] = load(wide[r] + k);
        transpose(block);
        for (size_t i = 0; i < W; i++) store(to + (k + i) * kPanelRows, block[i]);
      }
      for (; k < part; k++) {
        for (size_t r = 0; r < W; r++) to[k * kPanelRows + r] = wide[r][k];
      }
    }
  }
}

/// Adds bias and residual to a finished tile and writes it; `sums` has kPanelRows to a row.
template <size_t TILE>
static void finishTile(const Linear& op, const float* sums, size_t token, size_t row, size_t count) {
  const size_t tokens = smaller(TILE, op.tokens - token);
  for (size_t t = 0; t < tokens; t++) {
    const float* from = sums + t * kPanelRows;
    const float* residual = op.residual == nullptr ? nullptr : op.residual + (token + t) * op.outputs + row;
    float* y = op.y + (token + t) * op.yStride + row;
    size_t o = 0;
    for (; o + W <= count; o += W) {
      Vec value = load(from + o);
      if (op.bias != nullptr) value += load(op.bias + row + o);
      if (residual != nullptr) value += load(residual + o);
      store(y + o, value);
    }
    for (; o < count; o++) {
      float value = from[o];
      if (op.bias != nullptr) value += op.bias[row + o];
      if (residual != nullptr) value += residual[o];
      y[o] = value;
    }
  }
}

/// One panel times all tokens. Sums of an unfinished depth rest in `partial` [tiles][kTile][kPanelRows].
template <size_t VECTORS>
static void multiplyPanel(const Linear& op, const float* packed, const float* panel, float* partial, size_t row, size_t count, size_t begin,
                          size_t depth) {
  for (size_t token = 0; token < op.tokens; token += kTile, partial += kTile * kPanelRows) {
    Vec sums[kTile][VECTORS] = {};
    if (begin > 0) {
      for (size_t t = 0; t < kTile; t++) {
        for (size_t v = 0; v < VECTORS; v++) sums[t][v] = load(partial + t * kPanelRows + v * W);
      }
    }
    multiplyTile(sums, packed + (token / kTile * op.inputs + begin) * kTile, 1, kTile, panel, kPanelRows, depth);
    for (size_t t = 0; t < kTile; t++) {
      for (size_t v = 0; v < VECTORS; v++) store(partial + t * kPanelRows + v * W, sums[t][v]);
    }
    if (begin + depth == op.inputs) finishTile<kTile>(op, partial, token, row, count);
  }
}

static size_t tilesOf(size_t tokens) { return (tokens + kTile - 1) / kTile; }

static size_t floatPanelBytes(size_t tokens, size_t inputs) {
  return (smaller(kDepth, inputs) + tilesOf(tokens) * kTile) * kPanelRows * sizeof(float);
}

static void linearByPanels(const Linear& op, const float* packed, float* panel, size_t rowBegin, size_t rowEnd) {
  float* partial = panel + smaller(kDepth, op.inputs) * kPanelRows;
  for (size_t row = rowBegin; row < rowEnd; row += kPanelRows) {
    const size_t count = smaller(kPanelRows, rowEnd - row);
    for (size_t begin = 0; begin < op.inputs; begin += kDepth) {
      const size_t depth = smaller(kDepth, op.inputs - begin);
      packPanel(op, row, count, begin, depth, panel);
      if (count > 2 * W)
        multiplyPanel<3>(op, packed, panel, partial, row, count, begin, depth);
      else if (count > W)
        multiplyPanel<2>(op, packed, panel, partial, row, count, begin, depth);
      else
        multiplyPanel<1>(op, packed, panel, partial, row, count, begin, depth);
    }
  }
}
