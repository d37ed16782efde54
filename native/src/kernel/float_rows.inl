// Few tokens times float rows. Tiles of ROWS weight rows by TOKENS tokens share each load. Rows are too short for the
// hardware's prefetching to catch on, so those that follow are asked for. Every product is summed in the
// same order whatever the tile, so that a token gets the same bits alone as among few others.

template <class Type, int ROWS, int TOKENS>
static inline void multiplyRows(const Linear& op, const typename Type::Element* weight, size_t row, size_t token) {
  Vec sum[ROWS][TOKENS] = {};
  const float* x = op.x + token * op.inputs;
  const size_t whole = op.inputs / W * W;
  for (size_t k = 0; k < whole; k += W) {
    Vec w[ROWS];
    for (int r = 0; r < ROWS; r++) {
      w[r] = Type::many(weight + r * op.inputs + k);
      if (TOKENS == 1) __builtin_prefetch(weight + (ROWS + r) * op.inputs + k);
    }
    for (int t = 0; t < TOKENS; t++) {
      const Vec value = load(x + t * op.inputs + k);
      for (int r = 0; r < ROWS; r++) sum[r][t] += w[r] * value;
    }
  }
  for (int t = 0; t < TOKENS; t++) {
    for (int r = 0; r < ROWS; r++) {
      float total = sumOf(sum[r][t]);
      for (size_t k = whole; k < op.inputs; k++) total += Type::one(weight + r * op.inputs + k) * x[t * op.inputs + k];
      if (op.bias != nullptr) total += op.bias[row + r];
      if (op.residual != nullptr) total += op.residual[(token + t) * op.outputs + row + r];
      op.y[(token + t) * op.yStride + row + r] = total;
    }
  }
}

template <class Type, int ROWS>
static inline void multiplyRowsByAll(const Linear& op, size_t row) {
  const auto* weight = reinterpret_cast<const typename Type::Element*>(op.weight) + row * op.inputs;
  constexpr int kTokens = W == 16 ? 4 : 2;  // as many sums as the registers hold
  size_t token = 0;
  for (; token + kTokens <= op.tokens; token += kTokens) multiplyRows<Type, ROWS, kTokens>(op, weight, row, token);
  for (; token < op.tokens; token++) multiplyRows<Type, ROWS, 1>(op, weight, row, token);
}

template <class Type>
static void linearByRows(const Linear& op, size_t begin, size_t end) {
  constexpr int kRows = 4;
  size_t row = begin;
  for (; row + kRows <= end; row += kRows) multiplyRowsByAll<Type, kRows>(op, row);
  for (; row < end; row++) multiplyRowsByAll<Type, 1>(op, row);
}
