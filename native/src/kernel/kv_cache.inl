// How the KV cache keeps what. A block of it has a piece for each key/value head, with the keys, or the values, of blockTokens tokens.
//
// Values lie as rows, [token][element], since attention adds whole rows of them. Keys lie turned, [element][token]: attention multiplies
// an element of the query by that of as many keys as a vector holds, and loads them as they lie. They are turned once, when they are
// stored, and not anew by every step that reads them. A piece of Int8 begins with a float scale for each token, [token], and the rest
// is the same.

/// An element of Int8, without the scale of its token.
struct Int8 {
  typedef int8_t Element;
  static float one(const Element* from) { return static_cast<float>(*from); }
  static Vec many(const Element* from) {
#if TROUPE_VECTOR_FLOATS == 16
    return (Vec)_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from))));
#elif TROUPE_VECTOR_FLOATS == 8
    return (Vec)_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(from))));
#else
    typedef int8_t Values __attribute__((vector_size(W)));
    return __builtin_convertvector(__builtin_convertvector(loadAs<Values>(from), IntVec), Vec);
#endif
  }
};

template <class Type>
constexpr bool kIsScaled = std::is_same<Type, Int8>::value;

/// Calls `each` with the kind of elements that a cache of a type has.
template <class Each>
static inline void withCacheType(DataType type, Each&& each) {
  switch (type) {
    case DataType::Float32: return each(Float32{});
    case DataType::Float16: return each(Float16{});
    case DataType::BFloat16: return each(BFloat16{});
    case DataType::Int8: return each(Int8{});
    default: return;
  }
}

/// The piece of one head of a block.
template <class Type, class Byte>
struct CachePiece {
  typedef typename Type::Element Element;

  CachePiece(Byte* cache, DataType type, size_t index, size_t headSize, size_t blockTokens)
      : scales(cache + index * blockTokens * cachedBytes(type, headSize)),
        elements(scales + (kIsScaled<Type> ? blockTokens * sizeof(float) : 0)) {}

  Byte* scales;
  Byte* elements;
};

/// The piece that a token of a sequence lies in.
template <class Type>
static inline CachePiece<Type, const uint8_t> pieceOf(const Attention& op, const uint8_t* cache, size_t sequence, size_t keyHead,
                                                      size_t token) {
  const auto block = static_cast<size_t>(op.blockTables[sequence * op.blocksPerSequence + token / op.blockTokens]);
  return {cache, op.cacheType, block * op.keyHeads + keyHead, op.headSize, op.blockTokens};
}

/// The first element of a token's key; the next ones are blockTokens apart, and beside each is that of the next token of the block.
template <class Type>
static inline const typename Type::Element* keyAt(const Attention& op, size_t sequence, size_t keyHead, size_t token) {
  const auto piece = pieceOf<Type>(op, op.keys, sequence, keyHead, token);
  return reinterpret_cast<const typename Type::Element*>(piece.elements) + token % op.blockTokens;
}

/// The row of a token's value.
template <class Type>
static inline const typename Type::Element* valueAt(const Attention& op, size_t sequence, size_t keyHead, size_t token) {
  const auto piece = pieceOf<Type>(op, op.values, sequence, keyHead, token);
  return reinterpret_cast<const typename Type::Element*>(piece.elements) + token % op.blockTokens * op.headSize;
}

/// Calls `each` with the first of the tokens [begin, end) and how many lie in one block with it, and so on to the last.
template <class Each>
static inline void forBlocks(const Attention& op, size_t begin, size_t end, Each&& each) {
  for (size_t token = begin, count; token < end; token += count) {
    count = smaller(end - token, op.blockTokens - token % op.blockTokens);
    each(token, count);
  }
}

/// The scales of the tokens [begin, end) of a cache whose elements have such.
template <class Type>
static inline void loadScales(const Attention& op, const uint8_t* cache, size_t sequence, size_t keyHead, size_t begin, size_t end,
                              float* scales) {
  if constexpr (!kIsScaled<Type>) return;
  forBlocks(op, begin, end, [&](size_t token, size_t count) {
    const auto piece = pieceOf<Type>(op, cache, sequence, keyHead, token);
    memcpy(scales + token - begin, piece.scales + token % op.blockTokens * sizeof(float), count * sizeof(float));
  });
}

/// The scale by which the largest of a row of floats becomes 127 or -127. Rows with NaN or infinity have none, so that all that is
/// computed from them becomes NaN.
static inline float int8Scale(const float* x, size_t count) {
  // As integers, bits of floats without a sign are in the order of their values.
  int32_t largestBits = 0;
  for (size_t i = 0; i < count; i++) {
    int32_t bits;
    memcpy(&bits, x + i, sizeof bits);
    bits &= 0x7fffffff;
    largestBits = bits > largestBits ? bits : largestBits;
  }
  const float largest = floatOf(static_cast<uint32_t>(largestBits));
  return largest <= 3.40282347e+38f ? largest / 127.0f : NAN;
}

/// Rounds what one token adds to one head of a cache.
template <class Type>
struct RoundedRow {
  typedef typename Type::Element Element;

  RoundedRow(const float* x, DataType type, size_t count) : x(x), type(type) {
    if constexpr (kIsScaled<Type>) {
      scale = int8Scale(x, count);
      factor = scale > 1e-36f ? 1.0f / scale : 0.0f;  // below, all are zeros
    }
  }

  void round(size_t begin, size_t count, Element* to) const {
    if constexpr (!kIsScaled<Type>) {
      fromFloat(x + begin, type, reinterpret_cast<uint8_t*>(to), count);
    } else if (factor == 0) {
      memset(to, 0, count);
    } else {
      for (size_t i = 0; i < count; i++) {
        const float shifted = x[begin + i] * factor + 12582912.0f;  // 1.5 · 2^23: rounds to the nearest integer
        to[i] = static_cast<int8_t>(static_cast<int32_t>(shifted - 12582912.0f));
      }
    }
  }

  const float* x;
  DataType type;
  float scale = 1, factor = 1;
};

template <class Type>
static void storeToken(const CacheStore& op, size_t token) {
  typedef typename Type::Element Element;
  constexpr size_t kAtOnce = 64;
  const auto slot = static_cast<size_t>(op.slots[token]);
  const size_t place = slot % op.blockTokens;
  for (size_t head = 0; head < op.keyHeads; head++) {
    const CachePiece<Type, uint8_t> piece(op.cache, op.cacheType, slot / op.blockTokens * op.keyHeads + head, op.headSize, op.blockTokens);
    const RoundedRow<Type> row(op.x + (token * op.keyHeads + head) * op.headSize, op.cacheType, op.headSize);
    if constexpr (kIsScaled<Type>) memcpy(piece.scales + place * sizeof(float), &row.scale, sizeof(float));
    auto* elements = reinterpret_cast<Element*>(piece.elements);
    if (!op.areKeys) {
      row.round(0, op.headSize, elements + place * op.headSize);
      continue;
    }
    for (size_t begin = 0; begin < op.headSize; begin += kAtOnce) {
      Element rounded[kAtOnce];
      const size_t count = smaller(kAtOnce, op.headSize - begin);
      row.round(begin, count, rounded);
      for (size_t i = 0; i < count; i++) elements[(begin + i) * op.blockTokens + place] = rounded[i];
    }
  }
}

static void storeInCache(const CacheStore& op, size_t begin, size_t end) {
  withCacheType(op.cacheType, [&](auto type) {
    for (size_t token = begin; token < end; token++) storeToken<decltype(type)>(op, token);
  });
}
