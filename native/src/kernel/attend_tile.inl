// Attention of many queries of one sequence: for prefill. The (query, head) pairs that read one key/value head are rows of
// a matrix Q. For each chunk of keys, scores S = Q · Kᵀ and then O += softmax(S) · V are products of the kind in
// float_panel.inl, with the running maximum and sum of each row kept beside them (Dao et al., arXiv 2205.14135,
// algorithm 1).

constexpr size_t kRowsOfTile = 64;

/// A thread's memory for one tile. Head sizes are padded to whole vectors, with zeros.
struct TileMemory {
  TileMemory(uint8_t* scratch, const Attention& op) : padded(paddedOf(op.headSize)) {
    auto* next = reinterpret_cast<float*>(scratch);
    const auto take = [&](size_t count) { return next += count, next - count; };
    queries = take(kRowsOfTile * padded);
    keys = take(op.headSize * kKeysOfChunk);
    scales = take(kKeysOfChunk);
    values = take(kKeysOfChunk * padded);
    scores = take(kRowsOfTile * kKeysOfChunk);
    sums = take(kRowsOfTile * padded);
    before = take(kRowsOfTile * padded);
    rows = reinterpret_cast<Softmax*>(next);
    rowsBefore = rows + kRowsOfTile;
    bytes = static_cast<size_t>(reinterpret_cast<uint8_t*>(rowsBefore + kRowsOfTile) - scratch);
  }

  const size_t padded;
  float* queries;       // [row][padded], times op.scale
  float* keys;          // [headSize][kKeysOfChunk]
  float* scales;        // [kKeysOfChunk], of keys or values that have such
  float* values;        // [kKeysOfChunk][padded]
  float* scores;        // [row][kKeysOfChunk]
  float* sums;          // [row][padded]
  float* before;        // [row][padded]
  Softmax* rows;        // [row], over the tokens of a split
  Softmax* rowsBefore;  // [row], over those of the splits before
  size_t bytes;
};

static size_t attentionBytes(const Attention& op) {
  const size_t tile = TileMemory(nullptr, op).bytes, query = QueryMemory(nullptr, op).bytes;
  return tile > query ? tile : query;
}

/// c[row][column] += a [rows, depth] · b [depth, columns]; rows in whole tiles, columns in whole vectors.
template <size_t VECTORS>
static inline void multiplyColumns(const float* a, size_t aStride, const float* b, size_t bStride, size_t depth, float* c, size_t cStride) {
  Vec sums[kTile][VECTORS];
  for (size_t t = 0; t < kTile; t++) {
    for (size_t v = 0; v < VECTORS; v++) sums[t][v] = load(c + t * cStride + v * W);
  }
  multiplyTile(sums, a, aStride, 1, b, bStride, depth);
  for (size_t t = 0; t < kTile; t++) {
    for (size_t v = 0; v < VECTORS; v++) store(c + t * cStride + v * W, sums[t][v]);
  }
}

static void multiplyMatrices(const float* a, size_t aStride, const float* b, size_t bStride, size_t rows, size_t depth, size_t columns,
                             float* c, size_t cStride) {
  for (size_t column = 0; column < columns;) {
    const size_t left = (columns - column) / W, vectors = left == 4 || left == 2 ? 2 : left >= 3 ? 3 : 1;
    for (size_t row = 0; row < rows; row += kTile) {
      const float* aRow = a + row * aStride;
      float* cTile = c + row * cStride + column;
      if (vectors == 3)
        multiplyColumns<3>(aRow, aStride, b + column, bStride, depth, cTile, cStride);
      else if (vectors == 2)
        multiplyColumns<2>(aRow, aStride, b + column, bStride, depth, cTile, cStride);
      else
        multiplyColumns<1>(aRow, aStride, b + column, bStride, depth, cTile, cStride);
    }
    column += vectors * W;
  }
}

/// Widens the values of a chunk's tokens: [kKeysOfChunk][padded].
template <class Type>
static void widenValues(const Attention& op, size_t sequence, size_t keyHead, size_t chunk, ChunkSpan span, const TileMemory& memory) {
  loadScales<Type>(op, op.values, sequence, keyHead, chunk + span.begin, chunk + span.end, memory.scales + span.begin);
  for (size_t token = span.begin; token < span.end; token++) {
    const auto* row = valueAt<Type>(op, sequence, keyHead, chunk + token);
    float* value = memory.values + token * memory.padded;
    const float scale = kIsScaled<Type> ? memory.scales[token] : 1.0f;
    size_t k = 0;
    for (; k + W <= op.headSize; k += W) store(value + k, kIsScaled<Type> ? Type::many(row + k) * scale : Type::many(row + k));
    for (; k < memory.padded; k++) value[k] = k < op.headSize ? Type::one(row + k) * scale : 0;
  }
}

/// The scores of `rows` queries, whole tiles of them.
template <class Type>
static void scoreTile(const Attention& op, size_t sequence, size_t keyHead, size_t chunk, ChunkSpan span, const TileMemory& memory,
                      size_t rows) {
  const size_t first = span.firstVector() * W, columns = span.endVector() * W - first;
  widenKeys<Type>(op, sequence, keyHead, chunk, span, memory.keys);
  memset(memory.scores, 0, rows * kKeysOfChunk * sizeof(float));
  multiplyMatrices(memory.queries, memory.padded, memory.keys + first, kKeysOfChunk, rows, op.headSize, columns, memory.scores + first,
                   kKeysOfChunk);
  if constexpr (kIsScaled<Type>) {
    loadScales<Type>(op, op.keys, sequence, keyHead, chunk + span.begin, chunk + span.end, memory.scales + span.begin);
    for (size_t row = 0; row < rows; row++) scaleScores(memory.scores + row * kKeysOfChunk, memory.scales, span);
  }
}

/// Whether the values of a chunk are numbers. Where a row does not see all of them, what it does not see is multiplied by zero,
/// which is no number for NaN and infinity.
static bool areFinite(const TileMemory& memory, ChunkSpan span) {
  Vec sum{};
  for (size_t i = span.begin * memory.padded; i < span.end * memory.padded; i += W)
    sum += load(memory.values + i) - load(memory.values + i);
  return sumOf(sum) == 0;
}

/// sums[row] += the values of keys [begin, end), times the row's scores.
static void addSeenValues(const TileMemory& memory, size_t row, size_t begin, size_t end) {
  float* sums = memory.sums + row * memory.padded;
  for (size_t key = begin; key < end; key++) {
    const float* value = memory.values + key * memory.padded;
    const Vec weight = broadcast(memory.scores + row * kKeysOfChunk + key);
    for (size_t i = 0; i < memory.padded; i += W) store(sums + i, load(sums + i) + load(value + i) * weight);
  }
}

static void attendTile(const Attention& op, size_t queryBegin, size_t queryEnd, HeadGroup group, uint8_t* scratch) {
  const TileMemory memory(scratch, op);
  const size_t heads = group.end - group.begin, rows = (queryEnd - queryBegin) * heads, padded = memory.padded;
  const size_t width = op.heads * op.headSize, outRow = width + (op.partial ? op.heads : 0);
  const auto keyHead = static_cast<size_t>(op.keyHeadOf[group.begin]), sequence = static_cast<size_t>(op.sequence[queryBegin]);
  for (size_t tile = 0; tile < rows; tile += kRowsOfTile) {
    const size_t count = smaller(kRowsOfTile, rows - tile), whole = (count + kTile - 1) / kTile * kTile;
    const auto queryOf = [&](size_t row) { return queryBegin + (tile + row) / heads; };
    const auto headOf = [&](size_t row) { return group.begin + (tile + row) % heads; };
    const auto beginOf = [&](size_t row) { return static_cast<size_t>(op.begin[queryOf(row)]); };
    const auto endOf = [&](size_t row) { return static_cast<size_t>(op.end[queryOf(row)]); };
    memset(memory.queries, 0, whole * padded * sizeof(float));
    size_t first = SIZE_MAX, last = 0;
    for (size_t row = 0; row < whole; row++) {
      memory.rows[row].sums = memory.sums + row * padded;
      memory.rows[row].clear(padded);
      memory.rowsBefore[row].sums = memory.before + row * padded;
      memory.rowsBefore[row].clear(padded);
      if (row >= count) continue;
      const float* q = op.query + queryOf(row) * width + headOf(row) * op.headSize;
      for (size_t i = 0; i < op.headSize; i++) memory.queries[row * padded + i] = q[i] * op.scale;
      if (beginOf(row) >= endOf(row)) continue;
      first = smaller(first, beginOf(row));
      last = endOf(row) > last ? endOf(row) : last;
    }
    const auto finishSplit = [&] {
      for (size_t row = 0; row < count; row++) {
        join(memory.rowsBefore[row], memory.rows[row], padded);
        memory.rows[row].clear(padded);
      }
    };
    for (size_t chunk = first / kKeysOfChunk * kKeysOfChunk; chunk < last; chunk += kKeysOfChunk) {
      if (chunk % kSplitTokens == 0) finishSplit();
      const ChunkSpan span{within(first, chunk), within(last, chunk)};
      withCacheType(op.cacheType, [&](auto type) {
        scoreTile<decltype(type)>(op, sequence, keyHead, chunk, span, memory, whole);
        widenValues<decltype(type)>(op, sequence, keyHead, chunk, span, memory);
      });
      bool seesAll = true;
      for (size_t row = 0; row < count; row++) {
        const size_t begin = within(beginOf(row), chunk), end = within(endOf(row), chunk);
        softmaxChunk(memory.scores + row * kKeysOfChunk, memory.rows[row], padded, begin, end);
        seesAll = seesAll && begin == span.begin && end == span.end;
      }
      if (seesAll || areFinite(memory, span)) {
        multiplyMatrices(memory.scores + span.begin, kKeysOfChunk, memory.values + span.begin * padded, padded, whole,
                         span.end - span.begin, padded, memory.sums, padded);
      } else {
        for (size_t row = 0; row < count; row++) addSeenValues(memory, row, within(beginOf(row), chunk), within(endOf(row), chunk));
      }
    }
    finishSplit();
    for (size_t row = 0; row < count; row++) {
      float* out = op.out + queryOf(row) * outRow;
      const float logSumExp = finish(memory.rowsBefore[row], op.headSize, out + headOf(row) * op.headSize);
      if (op.partial) out[width + headOf(row)] = logSumExp;
    }
  }
}
