// Attention of one query: for decoding. Each key and value that is loaded serves as many heads of the group as there are registers
// for.

constexpr size_t kHeadsAtOnce = W == 16 ? 4 : 2;

/// Whether what is read next is asked for line by line in the loops over what is read now. AVX2 needs that, whose loops are longer in
/// instructions than a CPU looks ahead; asking for a chunk at once fills what a core may have under way, and waits.
constexpr bool kAsksInLoops = W == 8;

/// Pieces of memory that a loop asks for on its way, some lines of it at every turn.
template <class Type>
class ReadAhead {
 public:
  static constexpr size_t kLines = sizeof(typename Type::Element) == 4 ? 2 : 1;  // at a turn: a chunk's keys while its values are added

  void add(const void* piece, size_t bytes) {
    if (kAsksInLoops && count_ < kMost) pieces_[count_++] = {static_cast<const uint8_t*>(piece), bytes / (64 * kLines)};
  }

  /// Calls turn(i) for i of [0, turns).
  template <class Turn>
  inline __attribute__((always_inline)) void duringTurns(size_t turns, Turn&& turn) {
    size_t i = 0;
    while (next_ < count_ && i < turns) {
      Piece& piece = pieces_[next_];
      const size_t end = i + smaller(piece.turns, turns - i);
      piece.turns -= end - i;
      if (piece.turns == 0) next_++;
      const uint8_t* line = piece.at;
      for (; i < end; i++, line += 64 * kLines) {
        for (size_t l = 0; l < kLines; l++) __builtin_prefetch(line + 64 * l);
        turn(i);
      }
      piece.at = line;
    }
    for (; i < turns; i++) turn(i);
  }

 private:
  struct Piece {
    const uint8_t* at;
    size_t turns;
  };
  static constexpr size_t kMost = kKeysOfChunk;
  Piece pieces_[kAsksInLoops ? kMost : 1];
  size_t count_ = 0, next_ = 0;
};

/// Where the keys of a chunk lie: the first elements of each vector of tokens, and how far apart the next ones are.
template <class Type>
struct KeyVectors {
  const typename Type::Element* first[kKeysOfChunk / W];
  size_t stride;
};

/// The values of the tokens of a chunk that count.
template <class Type>
struct ValueRows {
  size_t count;
  const typename Type::Element* rows[kKeysOfChunk];
  float scales[kKeysOfChunk];  // where elements have such
};

/// A thread's memory for one query. Head sizes are padded to whole vectors, with zeros.
struct QueryMemory {
  QueryMemory(uint8_t* scratch, const Attention& op) : padded(paddedOf(op.headSize)) {
    const size_t heads = op.heads;
    auto* next = reinterpret_cast<float*>(scratch);
    const auto take = [&](size_t count) { return next += count, next - count; };
    queries = take(heads * padded);
    keys = take(hasWholeVectors(op) ? 0 : op.headSize * kKeysOfChunk);
    scales = take(op.cacheType == DataType::Int8 ? kKeysOfChunk : 0);
    scores = take(heads * kKeysOfChunk);
    sums = take(heads * padded);
    split = take(heads * padded);
    wide = take(padded == op.headSize ? 0 : kKeysOfChunk * padded);
    softmaxes = reinterpret_cast<Softmax*>(next);
    splits = softmaxes + heads;
    bytes = static_cast<size_t>(reinterpret_cast<uint8_t*>(splits + heads) - scratch);
  }

  const size_t padded;
  float* queries;      // [head][padded], times op.scale
  float* keys;         // [headSize][kKeysOfChunk], if blocks of the cache are not whole vectors
  float* scales;       // [kKeysOfChunk], of keys that have such
  float* scores;       // [head][kKeysOfChunk]
  float* sums;         // [head][padded]
  float* split;        // [head][padded]
  float* wide;         // [token][padded], if rows of the cache are not whole vectors
  Softmax* softmaxes;  // [head], over all tokens
  Softmax* splits;     // [head], over those of a split
  size_t bytes;
};

/// Calls `each` with the first of a number of heads, as a constant how many are taken with it, and so on to the last.
template <size_t MOST = kHeadsAtOnce, class Each>
static inline void forHeads(size_t head, size_t end, Each&& each) {
  for (; head + MOST <= end; head += MOST) each(head, std::integral_constant<size_t, MOST>{});
  if constexpr (MOST > 1) forHeads<MOST - 1>(head, end, each);
}

/// scores[head][key] = query[head] · key for HEADS heads and VECTORS vectors of keys.
template <class Type, size_t HEADS, size_t VECTORS, class Next>
static inline void scoreVectors(const QueryMemory& memory, const KeyVectors<Type>& keys, size_t head, size_t headSize, size_t vector,
                                Next& ahead) {
  const float* queries = memory.queries + head * memory.padded;
  const typename Type::Element* from[VECTORS];
  for (size_t v = 0; v < VECTORS; v++) from[v] = keys.first[vector + v];
  Vec sums[HEADS][VECTORS] = {};
  ahead.duringTurns(headSize, [&](size_t i) {
    Vec key[VECTORS];
    for (size_t v = 0; v < VECTORS; v++) {
      key[v] = Type::many(from[v]);
      from[v] += keys.stride;
    }
    for (size_t h = 0; h < HEADS; h++) {
      const Vec query = broadcast(queries + h * memory.padded + i);
      for (size_t v = 0; v < VECTORS; v++) sums[h][v] += query * key[v];
    }
  });
  for (size_t h = 0; h < HEADS; h++) {
    for (size_t v = 0; v < VECTORS; v++) store(memory.scores + (head + h) * kKeysOfChunk + (vector + v) * W, sums[h][v]);
  }
}

template <class Type, size_t HEADS, class Next>
static inline void scoreTokens(const QueryMemory& memory, const KeyVectors<Type>& keys, size_t head, size_t headSize, ChunkSpan span,
                               Next& ahead) {
  size_t vector = span.firstVector();
  const size_t end = span.endVector();
  for (; vector + 3 <= end; vector += 3) scoreVectors<Type, HEADS, 3>(memory, keys, head, headSize, vector, ahead);
  if (vector + 2 == end)
    scoreVectors<Type, HEADS, 2>(memory, keys, head, headSize, vector, ahead);
  else if (vector < end)
    scoreVectors<Type, HEADS, 1>(memory, keys, head, headSize, vector, ahead);
}

/// The scores of all heads.
template <class Type, class Next>
static inline void scoreHeads(const QueryMemory& memory, const KeyVectors<Type>& keys, size_t heads, size_t headSize, ChunkSpan span,
                              Next& ahead) {
  forHeads(0, heads, [&](size_t head, auto count) { scoreTokens<Type, count()>(memory, keys, head, headSize, span, ahead); });
}

template <class Type>
static inline void scoreChunk(const Attention& op, size_t sequence, size_t keyHead, size_t chunk, ChunkSpan span, const QueryMemory& memory,
                              size_t heads, ReadAhead<Type>& ahead) {
  if (hasWholeVectors(op)) {
    KeyVectors<Type> keys;
    for (size_t v = span.firstVector(); v < span.endVector(); v++) keys.first[v] = keyAt<Type>(op, sequence, keyHead, chunk + v * W);
    keys.stride = op.blockTokens;
    scoreHeads(memory, keys, heads, op.headSize, span, ahead);
  } else {
    widenKeys<Type>(op, sequence, keyHead, chunk, span, memory.keys);
    KeyVectors<Float32> keys;
    for (size_t v = span.firstVector(); v < span.endVector(); v++) keys.first[v] = memory.keys + v * W;
    keys.stride = kKeysOfChunk;
    scoreHeads(memory, keys, heads, op.headSize, span, ahead);
  }
  if constexpr (kIsScaled<Type>) {
    loadScales<Type>(op, op.keys, sequence, keyHead, chunk + span.begin, chunk + span.end, memory.scales + span.begin);
    for (size_t head = 0; head < heads; head++) scaleScores(memory.scores + head * kKeysOfChunk, memory.scales, span);
  }
}

/// sums[head] += the values of all tokens, times their scores, for HEADS heads and VECTORS vectors from `column` on.
template <class Type, size_t HEADS, size_t VECTORS, class Next>
static inline void addColumns(const ValueRows<Type>& values, const QueryMemory& memory, size_t head, size_t column, size_t first,
                              Next& ahead) {
  Vec sums[HEADS][VECTORS];
  float* to = memory.split + head * memory.padded + column;
  const float* scores = memory.scores + head * kKeysOfChunk + first;
  for (size_t h = 0; h < HEADS; h++) {
    for (size_t v = 0; v < VECTORS; v++) sums[h][v] = load(to + h * memory.padded + v * W);
  }
  ahead.duringTurns(values.count, [&](size_t t) {
    Vec value[VECTORS];
    for (size_t v = 0; v < VECTORS; v++) {
      value[v] = Type::many(values.rows[t] + column + v * W);
      if constexpr (kIsScaled<Type>) value[v] *= values.scales[t];
    }
    for (size_t h = 0; h < HEADS; h++) {
      const Vec weight = broadcast(scores + h * kKeysOfChunk + t);
      for (size_t v = 0; v < VECTORS; v++) sums[h][v] += value[v] * weight;
    }
  });
  for (size_t h = 0; h < HEADS; h++) {
    for (size_t v = 0; v < VECTORS; v++) store(to + h * memory.padded + v * W, sums[h][v]);
  }
}

template <class Type, size_t HEADS, class Next>
static inline void addColumnsOf(const ValueRows<Type>& values, const QueryMemory& memory, size_t head, size_t first, Next& ahead) {
  size_t column = 0;
  for (; column + 4 * W <= memory.padded; column += 4 * W) addColumns<Type, HEADS, 4>(values, memory, head, column, first, ahead);
  for (; column < memory.padded; column += W) addColumns<Type, HEADS, 1>(values, memory, head, column, first, ahead);
}

template <class Type, class Next>
static inline void addValues(const ValueRows<Type>& values, const QueryMemory& memory, size_t heads, size_t first, Next& ahead) {
  forHeads(0, heads, [&](size_t head, auto count) { addColumnsOf<Type, count()>(values, memory, head, first, ahead); });
}

/// Rows of the cache as floats, padded with zeros.
template <class Type>
static inline ValueRows<Float32> widenRows(const ValueRows<Type>& values, size_t headSize, const QueryMemory& memory) {
  ValueRows<Float32> wide;
  wide.count = values.count;
  for (size_t t = 0; t < values.count; t++) {
    float* to = memory.wide + t * memory.padded;
    for (size_t i = 0; i < headSize; i++) to[i] = Type::one(values.rows[t] + i) * (kIsScaled<Type> ? values.scales[t] : 1.0f);
    for (size_t i = headSize; i < memory.padded; i++) to[i] = 0;
    wide.rows[t] = to;
  }
  return wide;
}

/// The tokens [begin, end), which lie in one chunk, of those up to `last`.
template <class Type>
static inline void attendChunk(const Attention& op, size_t sequence, size_t keyHead, size_t begin, size_t end, size_t last,
                               const QueryMemory& memory, size_t heads) {
  const size_t chunk = begin / kKeysOfChunk * kKeysOfChunk;
  const ChunkSpan span{begin - chunk, end - chunk};
  const size_t rowBytes = op.headSize * sizeof(typename Type::Element);
  ValueRows<Type> values;
  values.count = end - begin;
  ReadAhead<Type> nextValues, nextKeys;
  forBlocks(op, begin, end, [&](size_t token, size_t count) {
    const auto* rows = valueAt<Type>(op, sequence, keyHead, token);
    for (size_t i = 0; i < count; i++) values.rows[token - begin + i] = rows + i * op.headSize;
    if (kAsksInLoops)
      nextValues.add(rows, count * rowBytes);
    else
      prefetch(rows, count * rowBytes);
  });
  forBlocks(op, end, kAsksInLoops ? smaller(last, end + kKeysOfChunk) : end,
            [&](size_t token, size_t count) { nextKeys.add(keyAt<Type>(op, sequence, keyHead, token), count * rowBytes); });
  loadScales<Type>(op, op.values, sequence, keyHead, begin, end, values.scales);
  scoreChunk<Type>(op, sequence, keyHead, chunk, span, memory, heads, nextValues);
  for (size_t head = 0; head < heads; head++)
    softmaxChunk(memory.scores + head * kKeysOfChunk, memory.splits[head], memory.padded, span.begin, span.end);
  if (memory.padded == op.headSize)
    addValues(values, memory, heads, span.begin, nextKeys);
  else
    addValues(widenRows(values, op.headSize, memory), memory, heads, span.begin, nextKeys);
}

static size_t partStride(size_t headSize) { return paddedOf(headSize) + 2; }

/// The parts of the heads of a group behind each other: the sums, then the maximum and the total.
static void attendQuery(const Attention& op, size_t query, HeadGroup group, size_t begin, size_t end, float* part, uint8_t* scratch) {
  const QueryMemory memory(scratch, op);
  const size_t heads = group.end - group.begin, sequence = static_cast<size_t>(op.sequence[query]), padded = memory.padded;
  const auto keyHead = static_cast<size_t>(op.keyHeadOf[group.begin]);
  for (size_t head = 0; head < heads; head++) {
    const float* q = op.query + (query * op.heads + group.begin + head) * op.headSize;
    float* scaled = memory.queries + head * padded;
    for (size_t i = 0; i < padded; i++) scaled[i] = i < op.headSize ? q[i] * op.scale : 0;
    memory.softmaxes[head].sums = memory.sums + head * padded;
    memory.softmaxes[head].clear(padded);
    memory.splits[head].sums = memory.split + head * padded;
  }
  for (size_t token = begin; token < end;) {
    const size_t splitEnd = smaller(end, (token / kSplitTokens + 1) * kSplitTokens);
    for (size_t head = 0; head < heads; head++) memory.splits[head].clear(padded);
    while (token < splitEnd) {
      const size_t next = smaller(splitEnd, (token / kKeysOfChunk + 1) * kKeysOfChunk);
      withCacheType(op.cacheType, [&](auto type) { attendChunk<decltype(type)>(op, sequence, keyHead, token, next, end, memory, heads); });
      token = next;
    }
    for (size_t head = 0; head < heads; head++) join(memory.softmaxes[head], memory.splits[head], padded);
  }
  for (size_t head = 0; head < heads; head++) {
    float* to = part + head * partStride(op.headSize);
    memcpy(to, memory.softmaxes[head].sums, padded * sizeof(float));
    to[padded] = memory.softmaxes[head].maximum;
    to[padded + 1] = memory.softmaxes[head].total;
  }
}

/// Joins `count` parts of a query, `stride` apart, in the order of their tokens, and writes op.out. The first is lost.
static void joinQuery(const Attention& op, size_t query, HeadGroup group, float* parts, size_t count, size_t stride) {
  const size_t width = op.heads * op.headSize, padded = paddedOf(op.headSize);
  float* row = op.out + query * (width + (op.partial ? op.heads : 0));
  for (size_t head = group.begin; head < group.end; head++) {
    const auto partOf = [&](size_t i) {
      float* part = parts + i * stride + (head - group.begin) * partStride(op.headSize);
      return Softmax{part, part[padded], part[padded + 1]};
    };
    Softmax all = partOf(0);
    for (size_t i = 1; i < count; i++) join(all, partOf(i), padded);
    const float logSumExp = finish(all, op.headSize, row + head * op.headSize);
    if (op.partial) row[width + head] = logSumExp;
  }
}
