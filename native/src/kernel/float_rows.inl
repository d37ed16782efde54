// Few tokens times float rows. W rows side by side are turned in registers, so that each lane sums the products of one row in
// the order of the inputs, as panels do: a token gets the same bits alone as among many others. Rows are too short for the
// hardware's prefetching to catch on, so those that follow are asked for.

/// Adds `bias` and `residual` to the sums of `count` rows of a token, and writes them.
static inline void finishRows(const Linear& op, const float* sums, size_t token, size_t row, size_t count) {
  for (size_t r = 0; r < count; r++) {
    float total = sums[r];
    if (op.bias != nullptr) total += op.bias[row + r];
    if (op.residual != nullptr) total += op.residual[token * op.outputs + row + r];
    op.y[token * op.yStride + row + r] = total;
  }
}

/// Rows [row, row + count), W at most, times tokens [token, token + tokens), TOKENS at most.
template <class Type, size_t TOKENS>
static inline void multiplyRows(const Linear& op, size_t row, size_t count, size_t token, size_t tokens) {
  const typename Type::Element* rows[W];
  const float* x[TOKENS];
  // Where there are fewer, the last is computed more than once.
  for (size_t r = 0; r < W; r++) {
    rows[r] = reinterpret_cast<const typename Type::Element*>(op.weight) + (row + (r < count ? r : count - 1)) * op.inputs;
  }
  for (size_t t = 0; t < TOKENS; t++) x[t] = op.x + (token + (t < tokens ? t : tokens - 1)) * op.inputs;
  Vec sums[TOKENS] = {};
  size_t k = 0;
  for (; k + W <= op.inputs; k += W) {
    Vec block[W];
    for (size_t r = 0; r < W; r++) {
      block[r] = Type::many(rows[r] + k);
      if (TOKENS == 1) __builtin_prefetch(rows[r] + W * op.inputs + k);
    }
    transpose(block);
    for (size_t i = 0; i < W; i++) {
      for (size_t t = 0; t < TOKENS; t++) sums[t] += broadcast(x[t] + k + i) * block[i];
    }
  }
  for (; k < op.inputs; k++) {
    float column[W];
    for (size_t r = 0; r < W; r++) column[r] = Type::one(rows[r] + k);
    for (size_t t = 0; t < TOKENS; t++) sums[t] += broadcast(x[t] + k) * load(column);
  }
  for (size_t t = 0; t < tokens; t++) {
    float total[W];
    store(total, sums[t]);
    finishRows(op, total, token + t, row, count);
  }
}

template <class Type>
static void linearByRows(const Linear& op, size_t begin, size_t end) {
  constexpr size_t kMost = W == 16 ? 12 : 6;  // as many sums as the registers hold beside a block
  for (size_t row = begin; row < end; row += W) {
    const size_t count = end - row < W ? end - row : W;
    for (size_t token = 0; token < op.tokens; token += kMost) {
      const size_t tokens = op.tokens - token;
      if (tokens == 1)
        multiplyRows<Type, 1>(op, row, count, token, 1);
      else if (tokens == 2)
        multiplyRows<Type, 2>(op, row, count, token, 2);
      else if (tokens <= 4)
        multiplyRows<Type, 4>(op, row, count, token, tokens);
      else if (tokens <= kMost / 3 * 2)
        multiplyRows<Type, kMost / 3 * 2>(op, row, count, token, tokens);
      else
        multiplyRows<Type, kMost>(op, row, count, token, tokens < kMost ? tokens : kMost);
    }
  }
}
