// Attention of many queries of one sequence: for prefill. The (query, head) pairs that read one key/value head are rows of
// a matrix Q. For each chunk of keys, scores S = Q · Kᵀ and then O += softmax(S) · V are products of the kind in
// float_panel.inl, with the running maximum and sum of each row kept beside them (Dao et al., arXiv 2205.14135,
// algorithm 1).

constexpr size_t kRowsOfTile = 64;
constexpr size_t kKeysOfChunk = 2 * kPanelRows;

/// A thread's memory for one tile. Head sizes are padded to whole vectors, with zeros.
struct TileMemory {
  TileMemory(uint8_t* scratch, size_t headSize) : padded((headSize + W - 1) / W * W) {
    auto* next = reinterpret_cast<float*>(scratch);
    const auto take = [&](size_t count) { return next += count, next - count; };
    queries = take(kRowsOfTile * padded);
    keys = take(padded * kKeysOfChunk);
    values = take(kKeysOfChunk * padded);
    scores = take(kRowsOfTile * kKeysOfChunk);
    sums = take(kRowsOfTile * padded);
    maximums = take(kRowsOfTile);
    totals = take(kRowsOfTile);
    bytes = static_cast<size_t>(reinterpret_cast<uint8_t*>(next) - scratch);
  }

  const size_t padded;
  float* queries;   // [row][padded], times op.scale
  float* keys;      // [padded][kKeysOfChunk]
  float* values;    // [kKeysOfChunk][padded]
  float* scores;    // [row][kKeysOfChunk]
  float* sums;      // [row][padded]
  float* maximums;  // [row]
  float* totals;    // [row]
  size_t bytes;
};

static size_t attentionBytes(const Attention& op) {
  const size_t tile = TileMemory(nullptr, op.headSize).bytes, query = QueryMemory(nullptr, op.headSize, op.heads).bytes;
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

/// Widens the keys, transposed, and values of tokens [begin, begin + count) of the cache; missing ones become zeros.
template <class Row>
static void gatherChunk(const Attention& op, size_t sequence, size_t keyHead, size_t begin, size_t count, const TileMemory& memory) {
  const size_t rest = memory.padded - op.headSize;
  for (size_t first = 0; first < kKeysOfChunk; first += W) {
    const uint8_t* rows[W];
    for (size_t i = 0; i < W; i++) {
      float* value = memory.values + (first + i) * memory.padded;
      rows[i] = nullptr;
      if (first + i >= count) {
        memset(value, 0, memory.padded * sizeof(float));
        continue;
      }
      const size_t offset = cacheOffset(op, sequence, keyHead, begin + first + i);
      rows[i] = op.keys + offset;
      size_t k = 0;
      for (; k + W <= op.headSize; k += W) store(value + k, Row::many(op.values + offset, k));
      for (; k < op.headSize; k++) value[k] = Row::one(op.values + offset, k);
      memset(value + op.headSize, 0, rest * sizeof(float));
    }
    size_t k = 0;
    for (; k + W <= op.headSize; k += W) {
      Vec block[W];
      for (size_t i = 0; i < W; i++) block[i] = rows[i] == nullptr ? Vec{} : Row::many(rows[i], k);
      transpose(block);
      for (size_t i = 0; i < W; i++) store(memory.keys + (k + i) * kKeysOfChunk + first, block[i]);
    }
    for (; k < memory.padded; k++) {
      for (size_t i = 0; i < W; i++)
        memory.keys[k * kKeysOfChunk + first + i] = rows[i] == nullptr || k >= op.headSize ? 0 : Row::one(rows[i], k);
    }
  }
}

static inline void fillOutside(float* scores, size_t begin, size_t end, float value) {
  for (size_t i = 0; i < begin; i++) scores[i] = value;
  for (size_t i = end; i < kKeysOfChunk; i++) scores[i] = value;
}

/// Turns a row of scores into exponentials, of which only those of keys [begin, end) count, and shrinks what the row has
/// summed so far to the new maximum. Of those, one that is no finite number makes the sum NaN, as in softmaxTokens().
static void softmaxRow(const TileMemory& memory, size_t row, size_t begin, size_t end) {
  float* scores = memory.scores + row * kKeysOfChunk;
  if (begin >= end) {
    memset(scores, 0, kKeysOfChunk * sizeof(float));
    return;
  }
  fillOutside(scores, begin, end, 0);
  Vec total{};
  for (size_t i = 0; i < kKeysOfChunk; i += W) total += load(scores + i) - load(scores + i);
  fillOutside(scores, begin, end, -HUGE_VALF);
  Vec largest = load(scores);
  for (size_t i = W; i < kKeysOfChunk; i += W) {
    const Vec next = load(scores + i);
    largest = largest > next ? largest : next;
  }
  float maximum = memory.maximums[row];
  for (size_t i = 0; i < W; i++) maximum = largest[i] > maximum ? largest[i] : maximum;
  if (maximum > memory.maximums[row]) {
    const float shrink = memory.totals[row] > 0 ? expf(memory.maximums[row] - maximum) : 0.0f;
    memory.totals[row] *= shrink;
    scale(memory.sums + row * memory.padded, shrink, memory.padded);
    memory.maximums[row] = maximum;
  }
  for (size_t i = 0; i < kKeysOfChunk; i += W) {
    const Vec weights = exponential(load(scores + i) - maximum);
    total += weights;
    store(scores + i, weights);
  }
  memory.totals[row] += sumOf(total);
}

/// The part of [begin, end) that lies in a chunk, counted from its start.
static inline size_t within(int32_t position, size_t chunk) {
  const auto at = static_cast<size_t>(position);
  return at <= chunk ? 0 : smaller(at - chunk, kKeysOfChunk);
}

/// Whether the values of a chunk are numbers. Where a row does not see all of them, what it does not see is multiplied by zero,
/// which is no number for NaN and infinity.
static bool areFinite(const TileMemory& memory, size_t keys) {
  Vec sum{};
  for (size_t i = 0; i < keys * memory.padded; i += W) sum += load(memory.values + i) - load(memory.values + i);
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
  const TileMemory memory(scratch, op.headSize);
  const size_t heads = group.end - group.begin, rows = (queryEnd - queryBegin) * heads, padded = memory.padded;
  const size_t width = op.heads * op.headSize, outRow = width + (op.partial ? op.heads : 0);
  const auto keyHead = static_cast<size_t>(op.keyHeadOf[group.begin]);
  for (size_t tile = 0; tile < rows; tile += kRowsOfTile) {
    const size_t count = smaller(kRowsOfTile, rows - tile), whole = (count + kTile - 1) / kTile * kTile;
    const auto queryOf = [&](size_t row) { return queryBegin + (tile + row) / heads; };
    const auto headOf = [&](size_t row) { return group.begin + (tile + row) % heads; };
    memset(memory.queries, 0, whole * padded * sizeof(float));
    memset(memory.sums, 0, whole * padded * sizeof(float));
    size_t first = static_cast<size_t>(op.begin[queryOf(0)]), last = 0;
    for (size_t row = 0; row < count; row++) {
      const float* q = op.query + queryOf(row) * width + headOf(row) * op.headSize;
      for (size_t i = 0; i < op.headSize; i++) memory.queries[row * padded + i] = q[i] * op.scale;
      memory.maximums[row] = -HUGE_VALF;
      memory.totals[row] = 0;
      first = smaller(first, static_cast<size_t>(op.begin[queryOf(row)]));
      const auto end = static_cast<size_t>(op.end[queryOf(row)]);
      last = end > last ? end : last;
    }
    for (size_t chunk = first; chunk < last; chunk += kKeysOfChunk) {
      const size_t keys = smaller(kKeysOfChunk, last - chunk);
      withCacheRow(op.cacheType, [&](auto row) {
        gatherChunk<decltype(row)>(op, static_cast<size_t>(op.sequence[queryBegin]), keyHead, chunk, keys, memory);
      });
      memset(memory.scores, 0, whole * kKeysOfChunk * sizeof(float));
      multiplyMatrices(memory.queries, padded, memory.keys, kKeysOfChunk, whole, op.headSize, kKeysOfChunk, memory.scores, kKeysOfChunk);
      bool seesAll = true;
      for (size_t row = 0; row < count; row++) {
        const size_t begin = within(op.begin[queryOf(row)], chunk), end = within(op.end[queryOf(row)], chunk);
        softmaxRow(memory, row, begin, end);
        seesAll = seesAll && begin == 0 && end >= keys;
      }
      if (seesAll || areFinite(memory, keys)) {
        multiplyMatrices(memory.scores, kKeysOfChunk, memory.values, padded, whole, keys, padded, memory.sums, padded);
      } else {
        for (size_t row = 0; row < count; row++)
          addSeenValues(memory, row, within(op.begin[queryOf(row)], chunk), within(op.end[queryOf(row)], chunk));
      }
    }
    for (size_t row = 0; row < count; row++) {
      const float total = memory.totals[row];
      float* out = op.out + queryOf(row) * outRow;
      for (size_t i = 0; i < op.headSize; i++)
        out[headOf(row) * op.headSize + i] = total != 0 ? memory.sums[row * padded + i] / total : 0.0f;
      if (op.partial) out[width + headOf(row)] = total != 0 ? memory.maximums[row] + logf(total) : -HUGE_VALF;
    }
  }
}
