// The row that the KV cache keeps of one token and head, as fromFloat() has rounded it: its elements from `i` on, as floats.

template <class Type>
struct PlainRow {
  static float one(const uint8_t* row, size_t i) { return Type::one(reinterpret_cast<const typename Type::Element*>(row) + i); }
  static Vec many(const uint8_t* row, size_t i) { return Type::many(reinterpret_cast<const typename Type::Element*>(row) + i); }
};

struct Int8Row {
  static float scale(const uint8_t* row, size_t i) { return loadAs<float>(row + i / kGroupFloats * kGroupBytes); }
  static const uint8_t* values(const uint8_t* row, size_t i) {
    return row + i / kGroupFloats * kGroupBytes + sizeof(float) + i % kGroupFloats;
  }

  static float one(const uint8_t* row, size_t i) { return static_cast<float>(static_cast<int8_t>(*values(row, i))) * scale(row, i); }
  /// `i` must be a multiple of W.
  static Vec many(const uint8_t* row, size_t i) {
    typedef int8_t Values __attribute__((vector_size(W)));
    return __builtin_convertvector(loadAs<Values>(values(row, i)), Vec) * scale(row, i);
  }
};

/// Calls `each` with the kind of row that a cache of a type has.
template <class Each>
static inline void withCacheRow(DataType type, Each&& each) {
  switch (type) {
    case DataType::Float32: return each(PlainRow<Float32>{});
    case DataType::Float16: return each(PlainRow<Float16>{});
    case DataType::BFloat16: return each(PlainRow<BFloat16>{});
    case DataType::Int8: return each(Int8Row{});
    default: return;
  }
}

/// Where a token's key and value for one head are in the cache, in bytes.
static inline size_t cacheOffset(const Attention& op, size_t sequence, size_t keyHead, size_t token) {
  const auto block = static_cast<size_t>(op.blockTables[sequence * op.blocksPerSequence + token / op.blockTokens]);
  return ((block * op.keyHeads + keyHead) * op.blockTokens + token % op.blockTokens) * roundedBytes(op.cacheType, op.headSize);
}
