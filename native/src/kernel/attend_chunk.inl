// What attention of one query and of many have in common, so that a query gets the same bits either way. Keys are taken in chunks
// that begin at multiples of kKeysOfChunk of the cached tokens, whatever part of one a query sees. Scores are sums in the order of
// a head's numbers, and values are added in the order of the tokens. Every kSplitTokens, what was summed so far is put aside and
// joined with what follows.

constexpr size_t kKeysOfChunk = 2 * kPanelRows;
constexpr size_t kSplitTokens = 8 * kKeysOfChunk;

static inline void scale(float* x, float factor, size_t count) {
  for (size_t i = 0; i < count; i++) x[i] *= factor;
}

/// Widens the keys of tokens [begin, begin + count) of the cache, and turns them: [padded][kKeysOfChunk]. Missing ones become zeros,
/// up to the next whole vector of them.
template <class Row>
static inline void gatherKeys(const Attention& op, size_t sequence, size_t keyHead, size_t begin, size_t count, size_t padded,
                              float* keys) {
  for (size_t first = 0; first < count; first += W) {
    const uint8_t* rows[W];
    for (size_t i = 0; i < W; i++) rows[i] = first + i < count ? op.keys + cacheOffset(op, sequence, keyHead, begin + first + i) : nullptr;
    size_t k = 0;
    for (; k + W <= op.headSize; k += W) {
      Vec block[W];
      for (size_t i = 0; i < W; i++) block[i] = rows[i] == nullptr ? Vec{} : Row::many(rows[i], k);
      transpose(block);
      for (size_t i = 0; i < W; i++) store(keys + (k + i) * kKeysOfChunk + first, block[i]);
    }
    for (; k < padded; k++) {
      for (size_t i = 0; i < W; i++) keys[k * kKeysOfChunk + first + i] = rows[i] == nullptr || k >= op.headSize ? 0 : Row::one(rows[i], k);
    }
  }
}

/// The running softmax of one head of one query: sum of the values so far [padded], each times e^(score - maximum), and of those factors.
struct Softmax {
  float* sums;
  float maximum, total;

  bool isEmpty() const { return total == 0; }

  void clear(size_t padded) {
    memset(sums, 0, padded * sizeof(float));
    maximum = -HUGE_VALF;
    total = 0;
  }
};

static inline void fillOutside(float* scores, size_t begin, size_t end, float value) {
  for (size_t i = 0; i < begin; i++) scores[i] = value;
  for (size_t i = end; i < kKeysOfChunk; i++) scores[i] = value;
}

/// Turns the scores of a chunk into exponentials, of which only those of keys [begin, end) count, and shrinks what was summed so far
/// to the new maximum. A score that is no finite number makes the sum NaN: comparisons drop NaN, and minus infinity would pass for a
/// token that is not seen.
static inline void softmaxChunk(float* scores, Softmax& row, size_t padded, size_t begin, size_t end) {
  if (begin >= end) {
    memset(scores, 0, kKeysOfChunk * sizeof(float));
    return;
  }
  fillOutside(scores, begin, end, 0);
  Vec total{};  // x - x is 0 for every finite number
  for (size_t i = 0; i < kKeysOfChunk; i += W) total += load(scores + i) - load(scores + i);
  fillOutside(scores, begin, end, -HUGE_VALF);
  Vec largest = load(scores);
  for (size_t i = W; i < kKeysOfChunk; i += W) {
    const Vec next = load(scores + i);
    largest = largest > next ? largest : next;
  }
  float maximum = row.maximum;
  for (size_t i = 0; i < W; i++) maximum = largest[i] > maximum ? largest[i] : maximum;
  if (maximum > row.maximum) {
    const float shrink = row.total > 0 ? expf(row.maximum - maximum) : 0.0f;
    row.total *= shrink;
    scale(row.sums, shrink, padded);
    row.maximum = maximum;
  }
  for (size_t i = 0; i < kKeysOfChunk; i += W) {
    const Vec weights = exponential(load(scores + i) - maximum);
    total += weights;
    store(scores + i, weights);
  }
  row.total += sumOf(total);
}

/// Joins what was summed over tokens that follow to what was summed over those before.
static inline void join(Softmax& row, const Softmax& next, size_t padded) {
  if (next.isEmpty()) return;
  if (row.isEmpty()) {
    memcpy(row.sums, next.sums, padded * sizeof(float));
    row.maximum = next.maximum;
    row.total = next.total;
    return;
  }
  const float maximum = row.maximum > next.maximum ? row.maximum : next.maximum;
  const Vec own = splat(expf(row.maximum - maximum)), other = splat(expf(next.maximum - maximum));
  for (size_t i = 0; i < padded; i += W) store(row.sums + i, load(row.sums + i) * own + load(next.sums + i) * other);
  row.total = row.total * own[0] + next.total * other[0];
  row.maximum = maximum;
}

/// Writes the attention of one head, and gives its log-sum-exp.
static inline float finish(const Softmax& row, size_t headSize, float* out) {
  for (size_t i = 0; i < headSize; i++) out[i] = row.isEmpty() ? 0.0f : row.sums[i] / row.total;
  return row.isEmpty() ? -HUGE_VALF : row.maximum + logf(row.total);
}

/// The part of [begin, end) that lies in a chunk, counted from its start.
static inline size_t within(size_t position, size_t chunk) { return position <= chunk ? 0 : smaller(position - chunk, kKeysOfChunk); }

static inline size_t paddedOf(size_t headSize) { return (headSize + W - 1) / W * W; }
