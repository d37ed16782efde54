// The blocks of GGUF's quantized types (the ggml project's ggml-common.h and ggml-quants.c), seen as groups of 32
// weights. A format gives of each group
//   values():  32 bytes, each a weight's integer plus kOffset, kMost at most, in order;
//   scale():   of the group's first or second 16;
//   minimum(): what is added to every weight of the group, if kHasMinimum.
// weight = (value - kOffset) · scale + minimum. Of each product in dequantization but Q6_K's last, the exact value fits a
// float, so that contraction into a multiply-add does not change its bits.

static inline float half(const uint8_t* from) {
  uint16_t bits;
  memcpy(&bits, from, sizeof bits);
#if defined(__F16C__)
  return _cvtsh_ss(bits);
#else
  return fromFloat16(bits);
#endif
}

/// The same where 8 bytes may be read, which spares CPUs the way through a general register.
static inline float leadingHalf(const uint8_t* from) {
#if defined(__F16C__)
  return _mm_cvtss_f32(_mm_cvtph_ps(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(from))));
#else
  return half(from);
#endif
}

typedef uint8_t HalfBytes __attribute__((vector_size(16)));

/// Shifts bytes, for which CPUs have no instruction, by way of their 16-bit pairs: what crosses over is masked off.
template <class Vector>
static inline Vector shiftedRight(Vector bytes, size_t count, uint8_t mask) {
  typedef uint16_t Pairs __attribute__((vector_size(sizeof(Vector))));
  return (Vector)((Pairs)bytes >> static_cast<uint16_t>(count)) & mask;
}

/// Bytes below 16, times 16.
static inline Bytes timesSixteen(Bytes bytes) {
  typedef uint16_t Pairs __attribute__((vector_size(32)));
  return (Bytes)((Pairs)bytes << 4);
}

static inline Bytes joined(HalfBytes low, HalfBytes high) {
#if defined(__AVX2__)
  return (Bytes)_mm256_set_m128i((__m128i)high, (__m128i)low);
#else
  Bytes both;
  memcpy(&both, &low, sizeof low);
  memcpy(reinterpret_cast<uint8_t*>(&both) + sizeof low, &high, sizeof high);
  return both;
#endif
}

/// Low nibbles of 16 bytes, then high ones.
static inline Bytes nibbles(const uint8_t* from) {
  const auto packed = loadAs<HalfBytes>(from);
  return joined(packed & 15, shiftedRight(packed, 4, 15));
}

/// 16 in each byte whose bit is set, the lowest bit being the first byte's.
static inline Bytes sixteens(const uint8_t* from) {
  uint32_t bits;
  memcpy(&bits, from, sizeof bits);
  typedef uint32_t Words __attribute__((vector_size(32)));
  const Words word = Words{} + bits;
  Bytes bytes, select;
  for (size_t i = 0; i < 32; i++) select[i] = static_cast<uint8_t>(1 << i % 8);
#if defined(__AVX2__)
  const __m256i order = _mm256_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3);
  bytes = (Bytes)_mm256_shuffle_epi8((__m256i)word, order);
#else
  for (size_t i = 0; i < 32; i++) bytes[i] = static_cast<uint8_t>(word[0] >> (i / 8 * 8));
#endif
  return (Bytes)((bytes & select) == select) & 16;
}

struct Q8_0 {
  static constexpr DataType kType = DataType::Q8_0;
  static constexpr bool kSigned = !kUnsignedDot, kHasMinimum = false, kTwoScales = false;
  static constexpr int kOffset = kSigned ? 0 : 128, kMost = 255;
  static Bytes values(const uint8_t* block, size_t) { return loadAs<Bytes>(block + 2) ^ static_cast<uint8_t>(kOffset); }
  static float scale(const uint8_t* block, size_t, size_t) { return leadingHalf(block); }
  static float minimum(const uint8_t*, size_t) { return 0; }
};

struct Q4_0 {
  static constexpr DataType kType = DataType::Q4_0;
  static constexpr bool kSigned = false, kHasMinimum = false, kTwoScales = false;
  static constexpr int kOffset = 8, kMost = 15;
  static Bytes values(const uint8_t* block, size_t) { return nibbles(block + 2); }
  static float scale(const uint8_t* block, size_t, size_t) { return leadingHalf(block); }
  static float minimum(const uint8_t*, size_t) { return 0; }
};

struct Q4_1 {
  static constexpr DataType kType = DataType::Q4_1;
  static constexpr bool kSigned = false, kHasMinimum = true, kTwoScales = false;
  static constexpr int kOffset = 0, kMost = 15;
  static Bytes values(const uint8_t* block, size_t) { return nibbles(block + 4); }
  static float scale(const uint8_t* block, size_t, size_t) { return leadingHalf(block); }
  static float minimum(const uint8_t* block, size_t) { return leadingHalf(block + 2); }
};

struct Q5_0 {
  static constexpr DataType kType = DataType::Q5_0;
  static constexpr bool kSigned = false, kHasMinimum = false, kTwoScales = false;
  static constexpr int kOffset = 16, kMost = 31;
  static Bytes values(const uint8_t* block, size_t) { return nibbles(block + 6) | sixteens(block + 2); }
  static float scale(const uint8_t* block, size_t, size_t) { return leadingHalf(block); }
  static float minimum(const uint8_t*, size_t) { return 0; }
};

struct Q5_1 {
  static constexpr DataType kType = DataType::Q5_1;
  static constexpr bool kSigned = false, kHasMinimum = true, kTwoScales = false;
  static constexpr int kOffset = 0, kMost = 31;
  static Bytes values(const uint8_t* block, size_t) { return nibbles(block + 8) | sixteens(block + 4); }
  static float scale(const uint8_t* block, size_t, size_t) { return leadingHalf(block); }
  static float minimum(const uint8_t* block, size_t) { return leadingHalf(block + 2); }
};

/// The 6-bit scale (or, 4 bytes on, minimum) of a group in the 12 bytes where Q4_K and Q5_K keep eight of each.
static inline int sixBits(const uint8_t* packed, size_t group, bool minimum) {
  if (group < 4) return packed[group + (minimum ? 4 : 0)] & 63;
  const int low = minimum ? packed[group + 4] >> 4 : packed[group + 4] & 15;
  return low | (packed[group - (minimum ? 0 : 4)] >> 6) << 4;
}

struct Q4_K {
  static constexpr DataType kType = DataType::Q4_K;
  static constexpr bool kSigned = false, kHasMinimum = true, kTwoScales = false;
  static constexpr int kOffset = 0, kMost = 15;
  static Bytes values(const uint8_t* block, size_t group) {
    return shiftedRight(loadAs<Bytes>(block + 16 + group / 2 * 32), group % 2 * 4, 15);
  }
  static float scale(const uint8_t* block, size_t group, size_t) {
    return leadingHalf(block) * static_cast<float>(sixBits(block + 4, group, false));
  }
  static float minimum(const uint8_t* block, size_t group) {
    return -leadingHalf(block + 2) * static_cast<float>(sixBits(block + 4, group, true));
  }
};

struct Q5_K {
  static constexpr DataType kType = DataType::Q5_K;
  static constexpr bool kSigned = false, kHasMinimum = true, kTwoScales = false;
  static constexpr int kOffset = 0, kMost = 31;
  static Bytes values(const uint8_t* block, size_t group) {
    const Bytes low = shiftedRight(loadAs<Bytes>(block + 48 + group / 2 * 32), group % 2 * 4, 15);
    return low | timesSixteen(shiftedRight(loadAs<Bytes>(block + 16), group, 1));
  }
  static float scale(const uint8_t* block, size_t group, size_t) { return Q4_K::scale(block, group, 0); }
  static float minimum(const uint8_t* block, size_t group) { return Q4_K::minimum(block, group); }
};

struct Q6_K {
  static constexpr DataType kType = DataType::Q6_K;
  static constexpr bool kSigned = false, kHasMinimum = false, kTwoScales = true;
  static constexpr int kOffset = 32, kMost = 63;
  static Bytes values(const uint8_t* block, size_t group) {
    const size_t part = group / 4, quarter = group % 4;
    const Bytes low = shiftedRight(loadAs<Bytes>(block + part * 64 + quarter % 2 * 32), quarter / 2 * 4, 15);
    return low | timesSixteen(shiftedRight(loadAs<Bytes>(block + 128 + part * 32), 2 * quarter, 3));
  }
  static float scale(const uint8_t* block, size_t group, size_t second) {
    return half(block + 208) * static_cast<float>(static_cast<int8_t>(block[192 + 2 * group + second]));
  }
  static float minimum(const uint8_t*, size_t) { return 0; }
};

/// Calls `each` with the format of a quantized type.
template <class Each>
static inline void withFormat(DataType type, Each&& each) {
  switch (type) {
    case DataType::Q8_0: return each(Q8_0{});
    case DataType::Q4_0: return each(Q4_0{});
    case DataType::Q4_1: return each(Q4_1{});
    case DataType::Q5_0: return each(Q5_0{});
    case DataType::Q5_1: return each(Q5_1{});
    case DataType::Q4_K: return each(Q4_K{});
    case DataType::Q5_K: return each(Q5_K{});
    case DataType::Q6_K: return each(Q6_K{});
    default: return;
  }
}

/// One group of 32 weights of a row.
template <class Format>
struct Group {
  static constexpr size_t kPerBlock = blockSizeOf(Format::kType).elements / 32;

  Group(const uint8_t* row, size_t index) : block(row + index / kPerBlock * blockSizeOf(Format::kType).bytes), index(index % kPerBlock) {}
  Bytes values() const { return Format::values(block, index); }
  float scale(size_t second = 0) const { return Format::scale(block, index, second); }
  float minimum() const { return Format::minimum(block, index); }

  const uint8_t* const block;
  const size_t index;
};
