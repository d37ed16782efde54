// Weights packed for products: tiles of W rows, in which a lane belongs to a row and the inputs follow each other, so that a product
// streams through them, and nothing has to be turned.
//   floats       [tile][input][W]
//   Q8_0, Q4_0   [tile][group]: the 4-byte words of the rows' blocks [8 or 4][W], then their scales [W], as float16
// A last tile that is not full has zeros for the rows that it lacks. Sums go in the order of the inputs, as in every form of a product.

template <class Format>
struct Packed;

template <>
struct Packed<Q8_0> {
  static constexpr size_t kWords = 8;
  static constexpr uint32_t kFlipped = Q8_0::kSigned ? 0 : 0x80808080;  // bits of a word, which add kOffset to each byte
  static IntVec word(const uint8_t* group, size_t w) { return loadAs<IntVec>(group + w * sizeof(IntVec)); }
};

template <>
struct Packed<Q4_0> {
  static constexpr size_t kWords = 4;
  static constexpr uint32_t kFlipped = 0;
  static IntVec word(const uint8_t* group, size_t w) {
    const auto both = loadAs<IntVec>(group + w % kWords * sizeof(IntVec));
    return (w < kWords ? both : both >> 4) & 0x0f0f0f0f;
  }
};

template <class Format>
constexpr size_t kPackedScales = Packed<Format>::kWords * sizeof(IntVec);
template <class Format>
constexpr size_t kPackedGroup = kPackedScales<Format> + W * sizeof(uint16_t);

/// Bytes of rows when they are packed, or 0 for types that are not.
static size_t packedBytes(DataType type, size_t rows, size_t inputs) {
  const size_t tiles = (rows + W - 1) / W;
  switch (type) {
    case DataType::Float32:
    case DataType::Float16:
    case DataType::BFloat16: return tiles * W * rowBytes(type, inputs);
    case DataType::Q8_0: return tiles * (inputs / 32) * kPackedGroup<Q8_0>;
    case DataType::Q4_0: return tiles * (inputs / 32) * kPackedGroup<Q4_0>;
    default: return 0;
  }
}

/// Turns pieces of rows: piece i of row r comes to [i][r].
template <class Piece>
static void turnPieces(const uint8_t* const* rows, size_t count, size_t pieces, uint8_t* to, Piece flipped = 0) {
  for (size_t i = 0; i < pieces; i++) {
    for (size_t r = 0; r < count; r++) {
      const Piece piece = loadAs<Piece>(rows[r] + i * sizeof(Piece)) ^ flipped;
      memcpy(to + (i * W + r) * sizeof(Piece), &piece, sizeof(Piece));
    }
  }
}

/// A cache line of each row is read before those that follow.
template <class Piece>
static void packFloats(const uint8_t* const* rows, size_t count, size_t inputs, uint8_t* packed) {
  constexpr size_t kAtOnce = 64 / sizeof(Piece);
  for (size_t first = 0; first < inputs; first += kAtOnce) {
    const uint8_t* at[W];
    for (size_t r = 0; r < count; r++) at[r] = rows[r] + first * sizeof(Piece);
    turnPieces<Piece>(at, count, smaller(kAtOnce, inputs - first), packed + first * W * sizeof(Piece));
  }
}

template <class Format>
static void packBlocks(const uint8_t* const* rows, size_t count, size_t inputs, uint8_t* packed) {
  constexpr size_t kBytes = blockSizeOf(Format::kType).bytes;
  for (size_t group = 0; group < inputs / 32; group++, packed += kPackedGroup<Format>) {
    const uint8_t* at[W];
    for (size_t r = 0; r < count; r++) at[r] = rows[r] + group * kBytes + sizeof(uint16_t);  // a block begins with its scale
    turnPieces<uint32_t>(at, count, Packed<Format>::kWords, packed, Packed<Format>::kFlipped);
    for (size_t r = 0; r < count; r++) at[r] -= sizeof(uint16_t);
    turnPieces<uint16_t>(at, count, 1, packed + kPackedScales<Format>);
  }
}

/// Packs `count` rows behind each other into the tiles that begin at `packed`.
static void pack(const uint8_t* weight, DataType type, size_t count, size_t inputs, uint8_t* packed) {
  const size_t bytes = rowBytes(type, inputs), tileBytes = packedBytes(type, W, inputs);
  for (size_t row = 0; row < count; row += W, packed += tileBytes) {
    const size_t rowsOfTile = smaller(W, count - row);
    const uint8_t* rows[W];
    for (size_t r = 0; r < rowsOfTile; r++) rows[r] = weight + (row + r) * bytes;
    switch (type) {
      case DataType::Float32: packFloats<uint32_t>(rows, rowsOfTile, inputs, packed); break;
      case DataType::Float16:
      case DataType::BFloat16: packFloats<uint16_t>(rows, rowsOfTile, inputs, packed); break;
      case DataType::Q8_0: packBlocks<Q8_0>(rows, rowsOfTile, inputs, packed); break;
      case DataType::Q4_0: packBlocks<Q4_0>(rows, rowsOfTile, inputs, packed); break;
      default: break;
    }
  }
}

template <class Piece>
static void takePieces(const uint8_t* packed, size_t pieces, uint8_t* to, Piece flipped = 0) {
  for (size_t i = 0; i < pieces; i++) {
    const Piece piece = loadAs<Piece>(packed + i * W * sizeof(Piece)) ^ flipped;
    memcpy(to + i * sizeof(Piece), &piece, sizeof(Piece));
  }
}

template <class Format>
static void unpackBlocks(const uint8_t* tile, size_t lane, size_t inputs, uint8_t* row) {
  for (size_t group = 0; group < inputs / 32; group++, tile += kPackedGroup<Format>, row += blockSizeOf(Format::kType).bytes) {
    memcpy(row, tile + kPackedScales<Format> + lane * sizeof(uint16_t), sizeof(uint16_t));
    takePieces<uint32_t>(tile + lane * sizeof(uint32_t), Packed<Format>::kWords, row + sizeof(uint16_t), Packed<Format>::kFlipped);
  }
}

/// One row as it was before it was packed.
static void unpackRow(const uint8_t* packed, DataType type, size_t row, size_t inputs, uint8_t* to) {
  const uint8_t* tile = packed + row / W * packedBytes(type, W, inputs);
  const size_t lane = row % W;
  switch (type) {
    case DataType::Float32: return takePieces<uint32_t>(tile + lane * sizeof(uint32_t), inputs, to);
    case DataType::Float16:
    case DataType::BFloat16: return takePieces<uint16_t>(tile + lane * sizeof(uint16_t), inputs, to);
    case DataType::Q8_0: return unpackBlocks<Q8_0>(tile, lane, inputs, to);
    case DataType::Q4_0: return unpackBlocks<Q4_0>(tile, lane, inputs, to);
    default: return;
  }
}

/// The rows of [begin, end) that are in a tile: writes what was summed for them.
static inline void finishTileRows(const Linear& op, Vec sums, size_t token, size_t tile, size_t begin, size_t end) {
  if (tile * W >= begin && (tile + 1) * W <= end) {
    if (op.bias != nullptr) sums += load(op.bias + tile * W);
    if (op.residual != nullptr) sums += load(op.residual + token * op.outputs + tile * W);
    return store(op.y + token * op.yStride + tile * W, sums);
  }
  float total[W];
  store(total, sums);
  const size_t row = tile * W, first = begin > row ? begin - row : 0;
  finishRows(op, total + first, token, row + first, smaller(W, end - row) - first);
}

/// What passes over tiles ask for before it is used, since rows are too short for the hardware's own prefetching to run ahead far enough:
/// what lies so many bytes behind each piece of a tile. Each of several passes asks for its share of the pieces.
struct Ahead {
  size_t bytes, pass, passes;
};

/// Bytes ahead of a single pass of few tokens, about what a core may have under way. (Measured: an AMD core with AVX-512, one with AVX2.)
constexpr size_t kFewTokensAhead = W == 16 ? 4096 : 2048;

/// Writes the results of `tokens` tokens.
template <size_t TOKENS, size_t TILES>
static inline void finishTiles(const Linear& op, const Vec (&sums)[TOKENS][TILES], size_t token, size_t tokens, size_t tile, size_t begin,
                               size_t end) {
  for (size_t t = 0; t < tokens; t++) {
    for (size_t v = 0; v < TILES; v++) finishTileRows(op, sums[t][v], token + t, tile + v, begin, end);
  }
}

/// Tokens [token, token + tokens), TOKENS at most, times TILES tiles.
template <class Format, size_t TOKENS, size_t TILES>
static void multiplyPackedGroups(const Linear& op, const uint8_t* prepared, size_t token, size_t tokens, size_t tile, const Ahead& ahead,
                                 size_t begin, size_t end) {
  const size_t groups = op.inputs / 32, tileBytes = groups * kPackedGroup<Format>;
  QuantizedToken x[TOKENS];
  for (size_t t = 0; t < TOKENS; t++) x[t] = quantizedToken(prepared, op.inputs, token + smaller(t, tokens - 1));
  const uint8_t* at = op.packed + tile * tileBytes;
  Vec sums[TOKENS][TILES] = {};
  size_t toAskFor = ahead.pass;
  for (size_t g = 0; g < groups; g++, at += kPackedGroup<Format>) {
    if (g == toAskFor) {
      for (size_t v = 0; v < TILES; v++) {
        prefetch(at + v * tileBytes + ahead.bytes, kPackedGroup<Format>);
      }
      toAskFor += ahead.passes;
    }
    WordSum<Format, 8> products[TOKENS][TILES];
    for (size_t t = 0; t < TOKENS; t++) {
      const int32_t start = (x[t][g].negated[0] + x[t][g].negated[1]) * Format::kOffset;
      for (size_t v = 0; v < TILES; v++) products[t][v] = WordSum<Format, 8>(start);
    }
#pragma GCC unroll 8
    for (size_t w = 0; w < 8; w++) {
      IntVec weights[TILES];
      for (size_t v = 0; v < TILES; v++) weights[v] = Packed<Format>::word(at + v * tileBytes, w);
      for (size_t t = 0; t < TOKENS; t++) {
        const int32_t inputs = x[t][g].word(w);
        for (size_t v = 0; v < TILES; v++) products[t][v].add(weights[v], inputs);
      }
    }
    for (size_t v = 0; v < TILES; v++) {
      const Vec scale = Float16::many(reinterpret_cast<const uint16_t*>(at + v * tileBytes + kPackedScales<Format>));
      for (size_t t = 0; t < TOKENS; t++) sums[t][v] += __builtin_convertvector(products[t][v].total(), Vec) * (scale * x[t][g].scale);
    }
  }
  finishTiles(op, sums, token, tokens, tile, begin, end);
}

/// All tokens, TOKENS at most, times one tile, whose weights come to the registers once.
template <class Format, size_t TOKENS>
static void multiplyPackedTile(const Linear& op, const uint8_t* prepared, size_t tile, size_t begin, size_t end) {
  const size_t groups = op.inputs / 32;
  QuantizedToken x[TOKENS];
  for (size_t t = 0; t < TOKENS; t++) x[t] = quantizedToken(prepared, op.inputs, smaller(t, op.tokens - 1));
  const uint8_t* at = op.packed + tile * groups * kPackedGroup<Format>;
  Vec sums[TOKENS][1] = {};
  for (size_t g = 0; g < groups; g++, at += kPackedGroup<Format>) {
    prefetch(at + kFewTokensAhead, kPackedGroup<Format>);
    IntVec weights[8];
    for (size_t w = 0; w < 8; w++) weights[w] = Packed<Format>::word(at, w);
    const Vec scale = Float16::many(reinterpret_cast<const uint16_t*>(at + kPackedScales<Format>));
#pragma GCC unroll 16
    for (size_t t = 0; t < TOKENS; t++) {
      const QuantizedGroup& inputs = x[t][g];
      WordSum<Format, 8> even((inputs.negated[0] + inputs.negated[1]) * Format::kOffset), odd(0);
      for (size_t w = 0; w < 8; w += 2) {
        even.add(weights[w], inputs.word(w));
        odd.add(weights[w + 1], inputs.word(w + 1));
      }
      sums[t][0] += __builtin_convertvector(even.total() + odd.total(), Vec) * (scale * inputs.scale);
    }
  }
  finishTiles(op, sums, 0, op.tokens, tile, begin, end);
}

/// The same for inputs of floats; input k of token t is at x + t · rowStride + k · stepStride.
template <class Type, size_t TOKENS, size_t TILES>
static void multiplyPackedFloats(const Linear& op, const float* x, size_t rowStride, size_t stepStride, size_t token, size_t tokens,
                                 size_t tile, const Ahead& ahead, size_t begin, size_t end) {
  using Element = typename Type::Element;
  constexpr size_t kLine = 64 / sizeof(Element) / W == 0 ? 1 : 64 / sizeof(Element) / W;  // inputs of a tile in a cache line
  const size_t tileElements = W * op.inputs;
  const auto* at = reinterpret_cast<const Element*>(op.packed) + tile * tileElements;
  const float* row[TOKENS];
  for (size_t t = 0; t < TOKENS; t++) row[t] = x + smaller(t, tokens - 1) * rowStride;
  Vec sums[TOKENS][TILES] = {};
  size_t toAskFor = ahead.pass * kLine;
  for (size_t k = 0; k < op.inputs; k++, at += W) {
    if (k == toAskFor) {
      for (size_t v = 0; v < TILES; v++) __builtin_prefetch(reinterpret_cast<const uint8_t*>(at + v * tileElements) + ahead.bytes);
      toAskFor += ahead.passes * kLine;
    }
    Vec weights[TILES];
    for (size_t v = 0; v < TILES; v++) weights[v] = Type::many(at + v * tileElements);
    for (size_t t = 0; t < TOKENS; t++) {
      const Vec value = broadcast(row[t]);
      row[t] += stepStride;
      for (size_t v = 0; v < TILES; v++) sums[t][v] += value * weights[v];
    }
  }
  finishTiles(op, sums, token, tokens, tile, begin, end);
}

/// Calls `each` with the first of a number of tiles, as a constant how many are taken with it, and so on to the last.
template <size_t MOST, class Each>
static inline void forTiles(size_t tile, size_t end, Each&& each) {
  for (; tile + MOST <= end; tile += MOST) each(tile, std::integral_constant<size_t, MOST>{});
  if constexpr (MOST > 1) forTiles<MOST / 2>(tile, end, each);
}

/// Every tile with all tokens, TOKENS at once, so that its weights come from memory once. Calls `multiply` with a token, how many there
/// are, as a constant how many are taken at once, a tile, as a constant how many of them, and what to ask for ahead.
template <size_t TOKENS, class Multiply>
static inline void forTokensOfTiles(const Linear& op, size_t tileBytes, size_t begin, size_t end, Multiply&& multiply) {
  const size_t passes = (op.tokens + TOKENS - 1) / TOKENS;
  forTiles<kPanelVectors>(begin / W, (end + W - 1) / W, [&](size_t tile, auto tiles) {
    for (size_t pass = 0; pass < passes; pass++) {
      const Ahead ahead{TOKENS < 4 ? kFewTokensAhead : tiles() * tileBytes, pass, passes};
      multiply(pass * TOKENS, smaller(TOKENS, op.tokens - pass * TOKENS), std::integral_constant<size_t, TOKENS>{}, tile, tiles, ahead);
    }
  });
}

/// Whether a tile's words of weights stay in registers while all tokens pass, so that the weights come as one stream. AVX-512 has registers
/// for 16 sums beside them, but is faster with several tiles while there are few tokens; AVX2 has them for two.
static bool goesTileByTile(size_t tokens) { return W == 16 ? tokens > kQuantizedTile && tokens <= 16 : W == 8 && tokens <= 2; }

template <class Format>
static void linearByPackedTiles(const Linear& op, const uint8_t* prepared, size_t begin, size_t end) {
  const auto forAll = [&](auto most) {
    for (size_t tile = begin / W; tile * W < end; tile++) multiplyPackedTile<Format, most()>(op, prepared, tile, begin, end);
  };
  if constexpr (W == 16) {
    if (op.tokens <= 8)
      forAll(std::integral_constant<size_t, 8>{});
    else if (op.tokens <= 12)
      forAll(std::integral_constant<size_t, 12>{});
    else
      forAll(std::integral_constant<size_t, 16>{});
  } else if (op.tokens == 1) {
    forAll(std::integral_constant<size_t, 1>{});
  } else {
    forAll(std::integral_constant<size_t, 2>{});
  }
}

template <class Format>
static void linearByPackedGroups(const Linear& op, const uint8_t* prepared, size_t begin, size_t end) {
  const size_t tileBytes = op.inputs / 32 * kPackedGroup<Format>;
  const auto multiply = [&](size_t token, size_t tokens, auto most, size_t tile, auto tiles, const Ahead& ahead) {
    multiplyPackedGroups<Format, most(), tiles()>(op, prepared, token, tokens, tile, ahead, begin, end);
  };
  if (goesTileByTile(op.tokens))
    linearByPackedTiles<Format>(op, prepared, begin, end);
  else if (op.tokens == 1)
    forTokensOfTiles<1>(op, tileBytes, begin, end, multiply);
  else if (op.tokens == 2)
    forTokensOfTiles<2>(op, tileBytes, begin, end, multiply);
  else
    forTokensOfTiles<kQuantizedTile>(op, tileBytes, begin, end, multiply);
}

template <class Type>
static void linearByPackedFloats(const Linear& op, const float* prepared, size_t begin, size_t end) {
  const size_t inputs = op.inputs, tileBytes = inputs * W * sizeof(typename Type::Element);
  const bool isTurned = usesPanels(op.weightType, op.tokens);
  const auto multiply = [&](size_t token, size_t tokens, auto most, size_t tile, auto tiles, const Ahead& ahead) {
    const float* x = (isTurned ? prepared : op.x) + token * inputs;
    multiplyPackedFloats<Type, most(), tiles()>(op, x, isTurned ? 1 : inputs, isTurned ? kTile : 1, token, tokens, tile, ahead, begin, end);
  };
  if (op.tokens == 1)
    forTokensOfTiles<1>(op, tileBytes, begin, end, multiply);
  else if (op.tokens == 2)
    forTokensOfTiles<2>(op, tileBytes, begin, end, multiply);
  else if (op.tokens <= 4)
    forTokensOfTiles<4>(op, tileBytes, begin, end, multiply);
  else
    forTokensOfTiles<kTile>(op, tileBytes, begin, end, multiply);
}

static void linearByPacked(const Linear& op, const uint8_t* prepared, size_t begin, size_t end) {
  const auto* floats = reinterpret_cast<const float*>(prepared);
  switch (op.weightType) {
    case DataType::Float32: return linearByPackedFloats<Float32>(op, floats, begin, end);
    case DataType::Float16: return linearByPackedFloats<Float16>(op, floats, begin, end);
    case DataType::BFloat16: return linearByPackedFloats<BFloat16>(op, floats, begin, end);
    case DataType::Q8_0: return linearByPackedGroups<Q8_0>(op, prepared, begin, end);
    case DataType::Q4_0: return linearByPackedGroups<Q4_0>(op, prepared, begin, end);
    default: return;
  }
}
