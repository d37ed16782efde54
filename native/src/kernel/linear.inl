// Which form a product takes, by the weights' type and the number of tokens.

static size_t preparedTile(DataType type, size_t tokens) {
  if (isQuantized(type)) return 1;
  return usesPanels(type, tokens) ? kTile : 0;
}

static size_t preparedBytes(DataType type, size_t tokens, size_t inputs) {
  if (isQuantized(type)) return tokens * quantizedTokenBytes(inputs);
  return usesPanels(type, tokens) ? tilesOf(tokens) * kTile * inputs * sizeof(float) : 0;
}

static size_t panelBytes(DataType type, size_t tokens, size_t inputs) {
  if (!usesPanels(type, tokens)) return 0;
  return isQuantized(type) ? quantizedPanelBytes(tokens) : floatPanelBytes(tokens, inputs);
}

static void prepare(const float* x, DataType type, size_t tokens, size_t inputs, uint8_t* prepared, size_t tileBegin, size_t tileEnd) {
  if (isQuantized(type))
    quantizeTokens(x, inputs, prepared, tileBegin, tileEnd);
  else
    packTokens(x, tokens, inputs, reinterpret_cast<float*>(prepared), tileBegin, tileEnd);
}

static void linear(const Linear& op, const uint8_t* prepared, uint8_t* panel, size_t begin, size_t end) {
  if (op.packed != nullptr) return linearByPacked(op, prepared, begin, end);
  if (isQuantized(op.weightType)) {
    withFormat(op.weightType, [&](auto format) {
      if (usesPanels(op.weightType, op.tokens))
        linearByQuantizedPanels<decltype(format)>(op, prepared, panel, begin, end);
      else
        linearByQuantizedRows<decltype(format)>(op, prepared, begin, end);
    });
    return;
  }
  if (usesPanels(op.weightType, op.tokens))
    return linearByPanels(op, reinterpret_cast<const float*>(prepared), reinterpret_cast<float*>(panel), begin, end);
  switch (op.weightType) {
    case DataType::Float32: return linearByRows<Float32>(op, begin, end);
    case DataType::Float16: return linearByRows<Float16>(op, begin, end);
    case DataType::BFloat16: return linearByRows<BFloat16>(op, begin, end);
    default: return;
  }
}
