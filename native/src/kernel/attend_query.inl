// Attention of one query: for decoding. The heads of a group take turns at each block of the cache, so that its keys and
// values come from memory once. Maximum, sum of exponentials and weighted sum of values are carried along.

static inline float dot(const float* a, const float* b, size_t count) {
  Vec sum{};
  size_t i = 0;
  for (; i + W <= count; i += W) sum += load(a + i) * load(b + i);
  float total = sumOf(sum);
  for (; i < count; i++) total += a[i] * b[i];
  return total;
}

static inline void scale(float* x, float factor, size_t count) {
  for (size_t i = 0; i < count; i++) x[i] *= factor;
}

static inline void addScaled(float* sum, const float* x, float factor, size_t count) {
  size_t i = 0;
  for (; i + W <= count; i += W) store(sum + i, load(sum + i) + load(x + i) * factor);
  for (; i < count; i++) sum[i] += x[i] * factor;
}

/// Where a token's key and value for one head are in the cache, in floats.
static inline size_t cacheOffset(const Attention& op, size_t sequence, size_t keyHead, size_t token) {
  const auto block = static_cast<size_t>(op.blockTables[sequence * op.blocksPerSequence + token / op.blockTokens]);
  return ((block * op.keyHeads + keyHead) * op.blockTokens + token % op.blockTokens) * op.headSize;
}

constexpr size_t kMostScores = 64;

/// What one head has seen so far.
struct Running {
  float maximum, total;
};

/// Adds `count` tokens, at most kMostScores, to what a head has seen; `out` is the weighted sum of their values.
static inline void attendTokens(const Attention& op, const float* q, const float* keys, const float* values, size_t count, Running& seen, float* out) {
  float scores[kMostScores];
  float highest = seen.maximum;
  for (size_t i = 0; i < count; i++) {
    scores[i] = dot(q, keys + i * op.headSize, op.headSize) * op.scale;
    if (scores[i] > highest) highest = scores[i];
  }
  if (highest > seen.maximum) {
    const float shrink = seen.total > 0 ? expf(seen.maximum - highest) : 0.0f;
    seen.total *= shrink;
    scale(out, shrink, op.headSize);
    seen.maximum = highest;
  }
  for (size_t i = 0; i < count; i += W) {
    Vec block = splat(-HUGE_VALF);
    memcpy(&block, scores + i, (count - i < W ? count - i : W) * sizeof(float));
    store(scores + i, exponential(block - seen.maximum));
  }
  for (size_t i = 0; i < count; i++) {
    seen.total += scores[i];
    addScaled(out, values + i * op.headSize, scores[i], op.headSize);
  }
}

static void attendQuery(const Attention& op, size_t query, HeadGroup group, size_t begin, size_t end, float* out, size_t stride, uint8_t* scratch) {
  auto* seen = reinterpret_cast<Running*>(scratch);
  const size_t heads = group.end - group.begin, sequence = static_cast<size_t>(op.sequence[query]);
  const auto keyHead = static_cast<size_t>(op.keyHeadOf[group.begin]);
  const float* q = op.query + (query * op.heads + group.begin) * op.headSize;
  for (size_t head = 0; head < heads; head++) {
    seen[head] = {-HUGE_VALF, 0};
    memset(out + head * stride, 0, op.headSize * sizeof(float));
  }
  for (size_t token = begin; token < end;) {
    const size_t inBlock = smaller(op.blockTokens - token % op.blockTokens, end - token), count = smaller(inBlock, kMostScores);
    const size_t offset = cacheOffset(op, sequence, keyHead, token);
    for (size_t head = 0; head < heads; head++) {
      attendTokens(op, q + head * op.headSize, op.keys + offset, op.values + offset, count, seen[head], out + head * stride);
    }
    token += count;
  }
  for (size_t head = 0; head < heads; head++) {
    const auto [maximum, total] = seen[head];
    if (total > 0) scale(out + head * stride, 1.0f / total, op.headSize);
    out[head * stride + op.headSize] = total > 0 ? maximum + logf(total) : -HUGE_VALF;
  }
}
