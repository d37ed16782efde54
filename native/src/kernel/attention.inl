// One (query, head) pair: keys and values are read once, block by block, while the maximum, the sum of exponentials and
// the weighted sum of values are carried along.

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

static void attendOne(const Attention& op, size_t query, size_t head) {
  const size_t width = op.heads * op.headSize, row = width + (op.partial ? op.heads : 0);
  const float* q = op.query + query * width + head * op.headSize;
  float* out = op.out + query * row + head * op.headSize;
  const int32_t* blocks = op.blockTables + static_cast<size_t>(op.sequence[query]) * op.blocksPerSequence;
  const size_t begin = static_cast<size_t>(op.begin[query]), end = static_cast<size_t>(op.end[query]);

  float maximum = -HUGE_VALF, total = 0;
  memset(out, 0, op.headSize * sizeof(float));
  for (size_t token = begin; token < end;) {
    const size_t block = token / op.blockTokens, offset = token % op.blockTokens;
    const size_t ready = op.blockTokens - offset, count = ready < end - token ? ready : end - token;
    const size_t slot = (static_cast<size_t>(blocks[block]) * op.keyHeads + static_cast<size_t>(op.keyHeadOf[head])) * op.blockTokens + offset;
    const float* keys = op.keys + slot * op.headSize;
    const float* values = op.values + slot * op.headSize;

    constexpr size_t kMost = 64;
    float scores[kMost];
    for (size_t done = 0; done < count; done += kMost) {
      const size_t part = count - done < kMost ? count - done : kMost;
      float highest = maximum;
      for (size_t i = 0; i < part; i++) {
        scores[i] = dot(q, keys + (done + i) * op.headSize, op.headSize) * op.scale;
        if (scores[i] > highest) highest = scores[i];
      }
      if (highest > maximum) {
        const float shrink = total > 0 ? expf(maximum - highest) : 0.0f;
        total *= shrink;
        scale(out, shrink, op.headSize);
        maximum = highest;
      }
      for (size_t i = 0; i < part; i += W) {
        Vec block_scores = splat(-HUGE_VALF);
        const size_t lanes = part - i < W ? part - i : W;
        memcpy(&block_scores, scores + i, lanes * sizeof(float));
        store(scores + i, exponential(block_scores - maximum));
      }
      for (size_t i = 0; i < part; i++) {
        total += scores[i];
        addScaled(out, values + (done + i) * op.headSize, scores[i], op.headSize);
      }
    }
    token += count;
  }
  if (total > 0) scale(out, 1.0f / total, op.headSize);
  if (op.partial) op.out[query * row + width + head] = total > 0 ? maximum + logf(total) : -HUGE_VALF;
}

static void attention(const Attention& op, size_t begin, size_t end) {
  for (size_t pair = begin; pair < end; pair++) attendOne(op, pair / op.heads, pair % op.heads);
}
