// Dot products of bytes. Each 32-bit lane sums the products of its four bytes.

#if defined(__AVX512VNNI__) || defined(__AVXVNNI__)
constexpr bool kUnsignedDot = true;  // unsigned by signed bytes, of any size
#else
constexpr bool kUnsignedDot = false;  // unsigned bytes must be below 128
#endif

typedef uint8_t Bytes __attribute__((vector_size(32)));  // of one group of 32 weights or inputs
typedef int8_t SignedBytes __attribute__((vector_size(32)));
typedef int32_t Lanes __attribute__((vector_size(32)));
typedef float LaneFloats __attribute__((vector_size(32)));

template <class Vector>
static inline Vector loadAs(const void* from) {
  Vector v;
  memcpy(&v, from, sizeof v);
  return v;
}

/// Portable form, for vectors of any size.
template <class Sums>
static inline Sums dotBytesPlainly(Sums sum, const uint8_t* a, const int8_t* b, bool aIsSigned) {
  constexpr size_t lanes = sizeof(Sums) / 4;
  for (size_t i = 0; i < lanes; i++) {
    int32_t total = 0;
    for (size_t k = 4 * i; k < 4 * i + 4; k++) total += (aIsSigned ? static_cast<int8_t>(a[k]) : a[k]) * b[k];
    sum[i] += total;
  }
  return sum;
}

/// Adds to each lane of `sum` the products of unsigned (or, with SIGNED, signed) bytes of `a` and signed bytes of `b`.
template <bool SIGNED>
static inline Lanes dotBytes(Lanes sum, Bytes a, Bytes b) {
#if defined(__AVX2__)
  const __m256i x = (__m256i)a, y = (__m256i)b;
  if constexpr (SIGNED) {
    const __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(x), _mm256_sign_epi8(y, x));
    return sum + (Lanes)_mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
  }
#if defined(__AVX512VNNI__)
  return (Lanes)_mm256_dpbusd_epi32((__m256i)sum, x, y);
#elif defined(__AVXVNNI__)
  return (Lanes)_mm256_dpbusd_avx_epi32((__m256i)sum, x, y);
#else
  return sum + (Lanes)_mm256_madd_epi16(_mm256_maddubs_epi16(x, y), _mm256_set1_epi16(1));
#endif
#else
  return dotBytesPlainly(sum, reinterpret_cast<const uint8_t*>(&a), reinterpret_cast<const int8_t*>(&b), SIGNED);
#endif
}

/// The same over a whole vector register, each lane of `b` being the four bytes of `word`.
template <bool SIGNED>
static inline IntVec dotWord(IntVec sum, IntVec a, int32_t word) {
  const IntVec b = IntVec{} + word;
#if TROUPE_VECTOR_FLOATS == 16
  static_assert(!SIGNED && kUnsignedDot, "the wide form is unsigned");
  return (IntVec)_mm512_dpbusd_epi32((__m512i)sum, (__m512i)a, (__m512i)b);
#elif TROUPE_VECTOR_FLOATS == 8
  return (IntVec)dotBytes<SIGNED>((Lanes)sum, (Bytes)a, (Bytes)b);
#else
  return dotBytesPlainly(sum, reinterpret_cast<const uint8_t*>(&a), reinterpret_cast<const int8_t*>(&b), SIGNED);
#endif
}

/// Has a value computed here and kept in a register. Otherwise GCC puts the additions of an unrolled loop off and stores their terms.
static inline IntVec computed(IntVec value) {
#if TROUPE_VECTOR_FLOATS == 8
  asm("" : "+x"(value));
#endif
  return value;
}

/// What the products of words of weights and inputs come to, WORDS at most, in each lane: those of a row.
///
/// Where there is no dot product of bytes and the weights of a format are small, products of pairs are added in 16 bits: their sum fits,
/// with its start too, as that undoes the offset of the weights. So it does not matter that sums on the way to it may wrap around.
template <class Format, size_t WORDS>
class WordSum {
 public:
  static constexpr bool kInPairs = W == 8 && !kUnsignedDot && Format::kMost * 2 * INT8_MAX * WORDS <= INT16_MAX;

  WordSum() = default;
  explicit WordSum(int32_t start) : lanes_(IntVec{} + (kInPairs ? start & 0xffff : start)) {}

  void add(IntVec weights, int32_t inputs) {
#if defined(__AVX2__)
    if constexpr (kInPairs) {
      const __m256i products = _mm256_maddubs_epi16((__m256i)weights, _mm256_set1_epi32(inputs));
      lanes_ = computed((IntVec)_mm256_add_epi16((__m256i)lanes_, products));
      return;
    }
#endif
    lanes_ = computed(dotWord<Format::kSigned>(lanes_, weights, inputs));
  }

  IntVec total() const {
#if defined(__AVX2__)
    if constexpr (kInPairs) return (IntVec)_mm256_madd_epi16((__m256i)lanes_, _mm256_set1_epi16(1));
#endif
    return lanes_;
  }

 private:
  IntVec lanes_;
};
