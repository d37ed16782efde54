// Attention of one query: for decoding. Each key and value that is loaded serves as many heads of the group as there are registers
// for.

constexpr size_t kHeadsAtOnce = W == 16 ? 4 : 2;

/// The tokens of a chunk.
struct Tokens {
  size_t count;
  size_t offsets[kKeysOfChunk];  // in the cache
};

/// A thread's memory for one query. Head sizes are padded to whole vectors, with zeros.
struct QueryMemory {
  QueryMemory(uint8_t* scratch, size_t headSize, size_t heads) : padded(paddedOf(headSize)) {
    auto* next = reinterpret_cast<float*>(scratch);
    const auto take = [&](size_t count) { return next += count, next - count; };
    queries = take(heads * padded);
    keys = take(padded * kKeysOfChunk);
    scores = take(heads * kKeysOfChunk);
    sums = take(heads * padded);
    split = take(heads * padded);
    wide = take(padded == headSize ? 0 : kKeysOfChunk * padded);
    softmaxes = reinterpret_cast<Softmax*>(next);
    splits = softmaxes + heads;
    bytes = static_cast<size_t>(reinterpret_cast<uint8_t*>(splits + heads) - scratch);
  }

  const size_t padded;
  float* queries;      // [head][padded], times op.scale
  float* keys;         // [padded][kKeysOfChunk]
  float* scores;       // [head][kKeysOfChunk]
  float* sums;         // [head][padded]
  float* split;        // [head][padded]
  float* wide;         // [token][padded], if rows of the cache are not whole vectors
  Softmax* softmaxes;  // [head], over all tokens
  Softmax* splits;     // [head], over those of a split
  size_t bytes;
};

/// scores[head][key] = query[head] · key for HEADS heads and VECTORS vectors of keys.
template <size_t HEADS, size_t VECTORS>
static inline void scoreVectors(const QueryMemory& memory, size_t head, size_t headSize, size_t first) {
  const float *queries = memory.queries + head * memory.padded, *keys = memory.keys + first;
  Vec sums[HEADS][VECTORS] = {};
  for (size_t i = 0; i < headSize; i++, keys += kKeysOfChunk) {
    Vec key[VECTORS];
    for (size_t v = 0; v < VECTORS; v++) key[v] = load(keys + v * W);
    for (size_t h = 0; h < HEADS; h++) {
      const Vec query = broadcast(queries + h * memory.padded + i);
      for (size_t v = 0; v < VECTORS; v++) sums[h][v] += query * key[v];
    }
  }
  for (size_t h = 0; h < HEADS; h++) {
    for (size_t v = 0; v < VECTORS; v++) store(memory.scores + (head + h) * kKeysOfChunk + first + v * W, sums[h][v]);
  }
}

template <size_t HEADS>
static inline void scoreTokens(const QueryMemory& memory, size_t head, size_t headSize, size_t count) {
  size_t first = 0;
  for (; first + 2 * W < count; first += 3 * W) scoreVectors<HEADS, 3>(memory, head, headSize, first);
  if (first + W < count)
    scoreVectors<HEADS, 2>(memory, head, headSize, first);
  else if (first < count)
    scoreVectors<HEADS, 1>(memory, head, headSize, first);
}

/// sums[head] += the values of all tokens, times their scores, for HEADS heads and VECTORS vectors from `column` on.
template <class Row, size_t HEADS, size_t VECTORS>
static inline void addColumns(const uint8_t* values, const Tokens& tokens, const QueryMemory& memory, size_t head, size_t column,
                              size_t first) {
  Vec sums[HEADS][VECTORS];
  float* to = memory.split + head * memory.padded + column;
  const float* scores = memory.scores + head * kKeysOfChunk + first;
  for (size_t h = 0; h < HEADS; h++) {
    for (size_t v = 0; v < VECTORS; v++) sums[h][v] = load(to + h * memory.padded + v * W);
  }
  for (size_t t = 0; t < tokens.count; t++) {
    const uint8_t* row = values + tokens.offsets[t];
    Vec value[VECTORS];
    for (size_t v = 0; v < VECTORS; v++) value[v] = Row::many(row, column + v * W);
    for (size_t h = 0; h < HEADS; h++) {
      const Vec weight = broadcast(scores + h * kKeysOfChunk + t);
      for (size_t v = 0; v < VECTORS; v++) sums[h][v] += value[v] * weight;
    }
  }
  for (size_t h = 0; h < HEADS; h++) {
    for (size_t v = 0; v < VECTORS; v++) store(to + h * memory.padded + v * W, sums[h][v]);
  }
}

template <class Row, size_t HEADS>
static inline void addValues(const uint8_t* values, const Tokens& tokens, const QueryMemory& memory, size_t head, size_t first) {
  size_t column = 0;
  for (; column + 4 * W <= memory.padded; column += 4 * W) addColumns<Row, HEADS, 4>(values, tokens, memory, head, column, first);
  for (; column < memory.padded; column += W) addColumns<Row, HEADS, 1>(values, tokens, memory, head, column, first);
}

/// Calls `each` with the first of a number of heads, as a constant how many are taken with it, and so on to the last.
template <size_t MOST = kHeadsAtOnce, class Each>
static inline void forHeads(size_t head, size_t end, Each&& each) {
  for (; head + MOST <= end; head += MOST) each(head, std::integral_constant<size_t, MOST>{});
  if constexpr (MOST > 1) forHeads<MOST / 2>(head, end, each);
}

/// Rows of the cache as floats, padded with zeros.
template <class Row>
static inline void widenRows(const uint8_t* cache, const Tokens& tokens, size_t headSize, const QueryMemory& memory) {
  for (size_t t = 0; t < tokens.count; t++) {
    float* to = memory.wide + t * memory.padded;
    for (size_t i = 0; i < headSize; i++) to[i] = Row::one(cache + tokens.offsets[t], i);
    for (size_t i = headSize; i < memory.padded; i++) to[i] = 0;
  }
}

/// The tokens [begin, end), which lie in one chunk.
template <class Row>
static inline void attendChunk(const Attention& op, size_t sequence, size_t keyHead, size_t begin, size_t end, const QueryMemory& memory,
                               size_t heads) {
  const size_t chunk = begin / kKeysOfChunk * kKeysOfChunk, first = begin - chunk, rowBytes = roundedBytes(op.cacheType, op.headSize);
  Tokens tokens{end - begin, {}};
  for (size_t i = 0; i < tokens.count; i++) {
    tokens.offsets[i] = cacheOffset(op, sequence, keyHead, begin + i);
    for (size_t line = 0; line < rowBytes; line += 64) __builtin_prefetch(op.values + tokens.offsets[i] + line);
  }
  gatherKeys<Row>(op, sequence, keyHead, chunk, end - chunk, memory.padded, memory.keys);
  forHeads(0, heads, [&](size_t head, auto count) { scoreTokens<count()>(memory, head, op.headSize, end - chunk); });
  for (size_t head = 0; head < heads; head++)
    softmaxChunk(memory.scores + head * kKeysOfChunk, memory.splits[head], memory.padded, first, end - chunk);
  if (memory.padded == op.headSize) {
    forHeads(0, heads, [&](size_t head, auto count) { addValues<Row, count()>(op.values, tokens, memory, head, first); });
    return;
  }
  widenRows<Row>(op.values, tokens, op.headSize, memory);
  for (size_t i = 0; i < tokens.count; i++) tokens.offsets[i] = i * memory.padded * sizeof(float);
  const auto* rows = reinterpret_cast<const uint8_t*>(memory.wide);
  forHeads(0, heads, [&](size_t head, auto count) { addValues<PlainRow<Float32>, count()>(rows, tokens, memory, head, first); });
}

static size_t partStride(size_t headSize) { return paddedOf(headSize) + 2; }

/// The parts of the heads of a group behind each other: the sums, then the maximum and the total.
static void attendQuery(const Attention& op, size_t query, HeadGroup group, size_t begin, size_t end, float* part, uint8_t* scratch) {
  const QueryMemory memory(scratch, op.headSize, op.heads);
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
      withCacheRow(op.cacheType, [&](auto row) { attendChunk<decltype(row)>(op, sequence, keyHead, token, next, memory, heads); });
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
