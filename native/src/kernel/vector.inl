// A vector of W floats, in the compiler's own vector types, and loads that widen from each weight type.

constexpr size_t W = TROUPE_VECTOR_FLOATS;

typedef float Vec __attribute__((vector_size(W * 4)));
typedef int32_t IntVec __attribute__((vector_size(W * 4)));
typedef uint32_t UintVec __attribute__((vector_size(W * 4)));
typedef uint16_t HalfBits __attribute__((vector_size(W * 2)));

static inline size_t smaller(size_t a, size_t b) { return a < b ? a : b; }

static inline Vec splat(float value) { return value - Vec{}; }  // x - 0 is x, for the compiler too; x + 0 is not

/// Asks for memory that is read soon.
static inline void prefetch(const void* from, size_t bytes) {
  for (size_t line = 0; line < bytes; line += 64) __builtin_prefetch(static_cast<const uint8_t*>(from) + line);
}

static inline Vec load(const float* from) {
  Vec v;
  memcpy(&v, from, sizeof v);
  return v;
}

static inline Vec broadcast(const float* from) { return splat(*from); }

static inline void store(float* to, Vec v) { memcpy(to, &v, sizeof v); }

/// Adds lanes that are half a vector apart, over and over.
template <size_t LANES>
static inline float sumOfLanes(const float* lanes) {
  typedef float Half __attribute__((vector_size(LANES * 2)));
  Half low, high;
  memcpy(&low, lanes, sizeof low);
  memcpy(&high, lanes + LANES / 2, sizeof high);
  low += high;
  float sums[LANES / 2];
  memcpy(sums, &low, sizeof low);
  return sumOfLanes<LANES / 2>(sums);
}

template <>
inline float sumOfLanes<1>(const float* lanes) {
  return *lanes;
}

static inline float sumOf(Vec v) {
  float lanes[W];
  store(lanes, v);
  return sumOfLanes<W>(lanes);
}

/// The largest of W numbers, found by halves.
template <size_t LANES = W>
static inline int32_t largestOf(const int32_t* lanes) {
  if constexpr (LANES == 1) {
    return *lanes;
  } else {
    typedef int32_t Half __attribute__((vector_size(LANES * 2)));
    Half low, high;
    memcpy(&low, lanes, sizeof low);
    memcpy(&high, lanes + LANES / 2, sizeof high);
    low = low > high ? low : high;
    int32_t most[LANES / 2];
    memcpy(most, &low, sizeof low);
    return largestOf<LANES / 2>(most);
  }
}

static inline int32_t largestOf(IntVec v) {
  int32_t lanes[W];
  memcpy(lanes, &v, sizeof v);
  return largestOf(lanes);
}

template <size_t LANES = W>
static inline int32_t sumOf(const int32_t* lanes) {
  if constexpr (LANES == 1) {
    return *lanes;
  } else {
    typedef int32_t Half __attribute__((vector_size(LANES * 2)));
    Half low, high;
    memcpy(&low, lanes, sizeof low);
    memcpy(&high, lanes + LANES / 2, sizeof high);
    low += high;
    int32_t sums[LANES / 2];
    memcpy(sums, &low, sizeof low);
    return sumOf<LANES / 2>(sums);
  }
}

static inline int32_t sumOf(IntVec v) {
  int32_t lanes[W];
  memcpy(lanes, &v, sizeof v);
  return sumOf(lanes);
}

static inline float floatOf(uint32_t bits) {
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

static inline float fromBfloat16(uint16_t bits) { return floatOf(static_cast<uint32_t>(bits) << 16); }

// IEEE binary16, subnormals, infinities and NaN included.
static inline float fromFloat16(uint16_t bits) {
  const uint32_t sign = static_cast<uint32_t>(bits & 0x8000) << 16;
  const uint32_t rest = bits & 0x7fff;
  if (rest >= 0x7c00) return floatOf(sign | 0x7f800000 | (rest & 0x3ff) << 13);
  if (rest >= 0x0400) return floatOf(sign | ((rest << 13) + 0x38000000));
  const float magnitude = static_cast<float>(rest) * 0x1p-24f;
  return sign != 0 ? -magnitude : magnitude;
}

struct Float32 {
  typedef float Element;
  static float one(const Element* from) { return *from; }
  static Vec many(const Element* from) { return load(from); }
};

struct BFloat16 {
  typedef uint16_t Element;
  static float one(const Element* from) { return fromBfloat16(*from); }
  static Vec many(const Element* from) {
#if TROUPE_VECTOR_FLOATS == 16
    return (Vec)_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from))), 16);
#elif TROUPE_VECTOR_FLOATS == 8
    return (Vec)_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from))), 16);
#else
    HalfBits bits;
    memcpy(&bits, from, sizeof bits);
    const UintVec wide = __builtin_convertvector(bits, UintVec) << 16;
    Vec v;
    memcpy(&v, &wide, sizeof v);
    return v;
#endif
  }
};

struct Float16 {
  typedef uint16_t Element;
  static float one(const Element* from) { return fromFloat16(*from); }
  static Vec many(const Element* from) {
#if defined(__AVX512F__) && TROUPE_VECTOR_FLOATS == 16
    return (Vec)_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
#elif defined(__F16C__) && TROUPE_VECTOR_FLOATS == 8
    return (Vec)_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
#else
    Vec v;
    for (size_t i = 0; i < W; i++) v[i] = fromFloat16(from[i]);
    return v;
#endif
  }
};

/// e^x to about 2 units in the last place: e^x = 2^n · e^r with |r| <= ln 2 / 2, a degree-6 polynomial for e^r
/// (coefficients: Cephes, expf). Below -87 it gives 0, above 88 infinity.
static inline Vec exponential(Vec x) {
  const Vec low = splat(-87.0f), high = splat(88.0f);
  const IntVec under = x<low, over = x> high;
  x = x < low ? low : x;
  x = x > high ? high : x;
  const Vec shifted = x * 1.44269504088896341f + 12582912.0f;  // 1.5 · 2^23: rounds to the nearest integer
  const Vec n = shifted - 12582912.0f;
  const Vec r = (x - n * 0.693359375f) - n * -2.12194440e-4f;
  Vec p = splat(1.9875691500e-4f);
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  const IntVec exponent = (__builtin_convertvector(n, IntVec) + 127) << 23;
  Vec power;
  memcpy(&power, &exponent, sizeof power);
  Vec result = p * power;
  result = under ? Vec{} : result;
  return over ? splat(HUGE_VALF) : result;
}
