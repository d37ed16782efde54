// What attention of one query and of many have in common, so that a query gets the same bits either way. Keys are taken in chunks
// that begin at multiples of kKeysOfChunk of the cached tokens, whatever part of one a query sees. Scores are sums in the order of
// a head's numbers, and values are added in the order of the tokens. Every kSplitTokens, what was summed so far is put aside and
// joined with what follows.

constexpr size_t kKeysOfChunk = 2 * kPanelRows;
constexpr size_t kSplitTokens = 8 * kKeysOfChunk;

static inline void scale(float* x, float factor, size_t count) {
  for (size_t i = 0; i < count; i++) x[i] *= factor;
}

/// Of a chunk's tokens, those that count.
struct ChunkSpan {
  size_t begin, end;

  /// The vectors that they lie in.
  size_t firstVector() const { return begin / W; }
  size_t endVector() const { return (end + W - 1) / W; }
};

/// Whether the tokens of a vector lie in one block, beside each other.
static inline bool hasWholeVectors(const Attention& op) { return op.blockTokens % W == 0; }

/// Widens the keys of a chunk's tokens: [headSize][kKeysOfChunk]. Of vectors that only begin or end with them, the rest is left as it is.
template <class Type>
static inline void widenKeys(const Attention& op, size_t sequence, size_t keyHead, size_t chunk, ChunkSpan span, float* keys) {
  if (hasWholeVectors(op)) span = {span.firstVector() * W, span.endVector() * W};
  for (size_t token = span.begin, count; token < span.end; token += count) {
    count = smaller(span.end - token, op.blockTokens - (chunk + token) % op.blockTokens);
    const auto* from = keyAt<Type>(op, sequence, keyHead, chunk + token);
    for (size_t k = 0; k < op.headSize; k++, from += op.blockTokens) {
      float* to = keys + k * kKeysOfChunk + token;
      size_t i = 0;
      for (; i + W <= count; i += W) store(to + i, Type::many(from + i));
      for (; i < count; i++) to[i] = Type::one(from + i);
    }
  }
}

/// Multiplies the scores of a chunk by the scales of their keys.
static inline void scaleScores(float* scores, const float* scales, ChunkSpan span) {
  for (size_t i = span.begin; i < span.end; i++) scores[i] *= scales[i];
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
