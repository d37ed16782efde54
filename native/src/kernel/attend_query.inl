// Attention of one query: for decoding. Tokens are taken kTokensAtOnce at a time, and each key and value that is loaded
// serves as many heads of the group as there are registers for. Maximum, sum of exponentials and weighted sum of values are
// carried along.

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

constexpr size_t kTokensAtOnce = 64;
constexpr size_t kHeadsAtOnce = W == 16 ? 4 : 2;

/// The tokens that are taken at once.
struct Tokens {
  size_t count;
  size_t offsets[kTokensAtOnce];  // in the cache
};

/// A thread's memory for one query. Head sizes are padded to whole vectors, with zeros.
struct QueryMemory {
  QueryMemory(uint8_t* scratch, size_t headSize, size_t heads) : padded((headSize + W - 1) / W * W) {
    auto* next = reinterpret_cast<float*>(scratch);
    const auto take = [&](size_t count) { return next += count, next - count; };
    queries = take(heads * padded);
    sums = take(heads * padded);
    scores = take(heads * kTokensAtOnce);
    maximums = take(heads);
    totals = take(heads);
    wide = take(padded == headSize ? 0 : kTokensAtOnce * padded);
    bytes = static_cast<size_t>(reinterpret_cast<uint8_t*>(next) - scratch);
  }

  const size_t padded;
  float* queries;   // [head][padded], times op.scale
  float* sums;      // [head][padded]
  float* scores;    // [head][kTokensAtOnce]
  float* maximums;  // [head]
  float* totals;    // [head]
  float* wide;      // [token][padded], if rows of the cache are not whole vectors
  size_t bytes;
};

/// scores[head][token] = query[head] · key[token] for HEADS heads. Asks for the values of the same tokens.
template <class Row, size_t HEADS>
static inline void scoreTokens(const uint8_t* keys, const Tokens& tokens, const QueryMemory& memory, size_t head, const uint8_t* values,
                               size_t rowBytes) {
  constexpr size_t kKeys = 4;
  const float* queries = memory.queries + head * memory.padded;
  for (size_t first = 0; first < tokens.count; first += W) {
    Vec products[HEADS][W] = {};
    for (size_t tile = 0; tile < W && first + tile < tokens.count; tile += kKeys) {
      const uint8_t* rows[kKeys];
      for (size_t k = 0; k < kKeys; k++) {
        const size_t offset = tokens.offsets[smaller(first + tile + k, tokens.count - 1)];
        rows[k] = keys + offset;
        if (values != nullptr) {
          for (size_t line = 0; line < rowBytes; line += 64) __builtin_prefetch(values + offset + line);
        }
      }
      Vec sums[HEADS][kKeys] = {};
      for (size_t i = 0; i < memory.padded; i += W) {
        Vec key[kKeys];
        for (size_t k = 0; k < kKeys; k++) key[k] = Row::many(rows[k], i);
        for (size_t h = 0; h < HEADS; h++) {
          const Vec query = load(queries + h * memory.padded + i);
          for (size_t k = 0; k < kKeys; k++) sums[h][k] += query * key[k];
        }
      }
      for (size_t h = 0; h < HEADS; h++) {
        for (size_t k = 0; k < kKeys; k++) products[h][tile + k] = sums[h][k];
      }
    }
    for (size_t h = 0; h < HEADS; h++) store(memory.scores + (head + h) * kTokensAtOnce + first, sumsOfRows(products[h]));
  }
}

/// Turns a head's scores into exponentials, and shrinks what it has summed so far to the new maximum. A score that is no finite
/// number makes the sum NaN: comparisons drop NaN, and minus infinity would pass for a token that is not seen.
static inline void softmaxTokens(const QueryMemory& memory, size_t head, size_t count) {
  float* scores = memory.scores + head * kTokensAtOnce;
  const size_t whole = (count + W - 1) / W * W;
  Vec total{};  // x - x is 0 for every finite number; what follows the last token is finite if that is
  for (size_t i = 0; i < whole; i += W) total += load(scores + i) - load(scores + i);
  for (size_t i = count; i < whole; i++) scores[i] = -HUGE_VALF;
  Vec largest = load(scores);
  for (size_t i = W; i < whole; i += W) {
    const Vec next = load(scores + i);
    largest = largest > next ? largest : next;
  }
  float maximum = memory.maximums[head];
  for (size_t i = 0; i < W; i++) maximum = largest[i] > maximum ? largest[i] : maximum;
  if (maximum > memory.maximums[head]) {
    const float shrink = memory.totals[head] > 0 ? expf(memory.maximums[head] - maximum) : 0.0f;
    memory.totals[head] *= shrink;
    scale(memory.sums + head * memory.padded, shrink, memory.padded);
    memory.maximums[head] = maximum;
  }
  for (size_t i = 0; i < whole; i += W) {
    const Vec weights = exponential(load(scores + i) - maximum);
    total += weights;
    store(scores + i, weights);
  }
  memory.totals[head] += sumOf(total);
}

/// sums[head] += the values of all tokens, times their scores, for HEADS heads and VECTORS vectors from `column` on.
template <class Row, size_t HEADS, size_t VECTORS>
static inline void addColumns(const uint8_t* values, const Tokens& tokens, const QueryMemory& memory, size_t head, size_t column) {
  Vec sums[HEADS][VECTORS];
  float* to = memory.sums + head * memory.padded + column;
  const float* scores = memory.scores + head * kTokensAtOnce;
  for (size_t h = 0; h < HEADS; h++) {
    for (size_t v = 0; v < VECTORS; v++) sums[h][v] = load(to + h * memory.padded + v * W);
  }
  for (size_t t = 0; t < tokens.count; t++) {
    const uint8_t* row = values + tokens.offsets[t];
    Vec value[VECTORS];
    for (size_t v = 0; v < VECTORS; v++) value[v] = Row::many(row, column + v * W);
    for (size_t h = 0; h < HEADS; h++) {
      const Vec weight = broadcast(scores + h * kTokensAtOnce + t);
      for (size_t v = 0; v < VECTORS; v++) sums[h][v] += value[v] * weight;
    }
  }
  for (size_t h = 0; h < HEADS; h++) {
    for (size_t v = 0; v < VECTORS; v++) store(to + h * memory.padded + v * W, sums[h][v]);
  }
}

template <class Row, size_t HEADS>
static inline void addValues(const uint8_t* values, const Tokens& tokens, const QueryMemory& memory, size_t head) {
  size_t column = 0;
  for (; column + 4 * W <= memory.padded; column += 4 * W) addColumns<Row, HEADS, 4>(values, tokens, memory, head, column);
  for (; column < memory.padded; column += W) addColumns<Row, HEADS, 1>(values, tokens, memory, head, column);
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

/// The scratch memory of a head of `headSize` numbers that are not whole vectors needs: keys, then values, that are widened first.
template <class Row>
static inline void attendTokens(const Attention& op, const Tokens& tokens, const QueryMemory& memory, size_t heads) {
  const size_t rowBytes = roundedBytes(op.cacheType, op.headSize);
  if (memory.padded == op.headSize) {
    forHeads(0, heads, [&](size_t head, auto count) {
      scoreTokens<Row, count()>(op.keys, tokens, memory, head, head == 0 ? op.values : nullptr, rowBytes);
    });
    for (size_t head = 0; head < heads; head++) softmaxTokens(memory, head, tokens.count);
    forHeads(0, heads, [&](size_t head, auto count) { addValues<Row, count()>(op.values, tokens, memory, head); });
    return;
  }
  Tokens wide{tokens.count, {}};
  for (size_t t = 0; t < tokens.count; t++) wide.offsets[t] = t * memory.padded * sizeof(float);
  const auto* rows = reinterpret_cast<const uint8_t*>(memory.wide);
  widenRows<Row>(op.keys, tokens, op.headSize, memory);
  forHeads(0, heads,
           [&](size_t head, auto count) { scoreTokens<PlainRow<Float32>, count()>(rows, wide, memory, head, nullptr, rowBytes); });
  for (size_t head = 0; head < heads; head++) softmaxTokens(memory, head, tokens.count);
  widenRows<Row>(op.values, tokens, op.headSize, memory);
  forHeads(0, heads, [&](size_t head, auto count) { addValues<PlainRow<Float32>, count()>(rows, wide, memory, head); });
}

static void attendQuery(const Attention& op, size_t query, HeadGroup group, size_t begin, size_t end, float* out, size_t stride,
                        uint8_t* scratch) {
  const QueryMemory memory(scratch, op.headSize, op.heads);
  const size_t heads = group.end - group.begin, sequence = static_cast<size_t>(op.sequence[query]),
               rowBytes = roundedBytes(op.cacheType, op.headSize);
  const auto keyHead = static_cast<size_t>(op.keyHeadOf[group.begin]);
  memset(memory.sums, 0, heads * memory.padded * sizeof(float));
  for (size_t head = 0; head < heads; head++) {
    const float* q = op.query + (query * op.heads + group.begin + head) * op.headSize;
    float* scaled = memory.queries + head * memory.padded;
    for (size_t i = 0; i < memory.padded; i++) scaled[i] = i < op.headSize ? q[i] * op.scale : 0;
    memory.maximums[head] = -HUGE_VALF;
    memory.totals[head] = 0;
  }
  for (size_t token = begin; token < end;) {
    Tokens tokens;
    for (tokens.count = 0; tokens.count < kTokensAtOnce && token < end;) {
      const size_t inBlock = smaller(op.blockTokens - token % op.blockTokens, end - token),
                   run = smaller(inBlock, kTokensAtOnce - tokens.count);
      const size_t offset = cacheOffset(op, sequence, keyHead, token);
      for (size_t i = 0; i < run; i++) tokens.offsets[tokens.count + i] = offset + i * rowBytes;
      tokens.count += run;
      token += run;
    }
    withCacheRow(op.cacheType, [&](auto row) { attendTokens<decltype(row)>(op, tokens, memory, heads); });
  }
  for (size_t head = 0; head < heads; head++) {
    const float total = memory.totals[head];
    for (size_t i = 0; i < op.headSize; i++) out[head * stride + i] = total != 0 ? memory.sums[head * memory.padded + i] / total : 0.0f;
    out[head * stride + op.headSize] = total != 0 ? memory.maximums[head] + logf(total) : -HUGE_VALF;
  }
}
