// Every reduction for one instruction set. A source file defines TROUPE_REDUCTIONS (the namespace), is compiled for that
// set, and includes this. As in kernel/all.inl, nothing here may use inline functions of the standard library.
#include <string.h>
#if defined(__F16C__)
#include <immintrin.h>
#endif

#include "collective/reduction/reduction.h"

namespace troupe::collective::TROUPE_REDUCTIONS {

// Vectors of 64 bytes, which the compiler splits where registers are narrower.
template <class T>
struct VectorOf {
  typedef T Type __attribute__((vector_size(64)));
};
typedef VectorOf<float>::Type Floats;
typedef VectorOf<int32_t>::Type Ints;
typedef VectorOf<uint32_t>::Type Words;
typedef VectorOf<int64_t>::Type Longs;
typedef VectorOf<uint64_t>::Type LongWords;
typedef uint16_t Halves __attribute__((vector_size(32)));
typedef int8_t Bytes16 __attribute__((vector_size(16)));
typedef int32_t Ints8 __attribute__((vector_size(32)));

template <class V>
static inline V bitsAs(const void* from) {
  V v;
  memcpy(&v, from, sizeof v);
  return v;
}

// How elements of a type are widened to be computed with, and narrowed again.

struct Float32Format {
  typedef Floats Wide;
  static constexpr size_t kBytes = 4;
  static Wide load(const uint8_t* from) { return bitsAs<Floats>(from); }
  static void store(uint8_t* to, Wide v) { memcpy(to, &v, sizeof v); }
};

struct BFloat16Format {
  typedef Floats Wide;
  static constexpr size_t kBytes = 2;
  static Wide load(const uint8_t* from) {
    const Words bits = __builtin_convertvector(bitsAs<Halves>(from), Words) << 16;
    return bitsAs<Floats>(&bits);
  }
  static void store(uint8_t* to, Wide v) {
    const Words bits = bitsAs<Words>(&v);
    const Words rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    const Words quiet = (bits >> 16) | 0x40;
    const Words result = (bits & 0x7fffffff) > 0x7f800000 ? quiet : rounded;
    const Halves narrow = __builtin_convertvector(result, Halves);
    memcpy(to, &narrow, sizeof narrow);
  }
};

#if defined(__F16C__)
struct Float16Format {
  typedef Floats Wide;
  static constexpr size_t kBytes = 2;
  static Wide load(const uint8_t* from) {
    const __m256 halves[2] = {_mm256_cvtph_ps(bitsAs<__m128i>(from)), _mm256_cvtph_ps(bitsAs<__m128i>(from + 16))};
    return bitsAs<Floats>(halves);
  }
  static void store(uint8_t* to, Wide v) {
    __m256 halves[2];
    memcpy(halves, &v, sizeof v);
    for (int i = 0; i < 2; i++) {
      const __m128i bits = _mm256_cvtps_ph(halves[i], _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
      memcpy(to + 16 * i, &bits, sizeof bits);
    }
  }
};
#else
static inline float floatOf(uint32_t bits) { return bitsAs<float>(&bits); }

static inline float widenFloat16(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000) << 16, rest = half & 0x7fff;
  if (rest > 0x7c00) return floatOf(sign | 0x7fc00000 | (rest & 0x3ff) << 13);
  if (rest == 0x7c00) return floatOf(sign | 0x7f800000);
  if (rest >= 0x0400) return floatOf(sign | ((rest << 13) + 0x38000000));
  const float magnitude = static_cast<float>(rest) * 0x1p-24f;
  return sign != 0 ? -magnitude : magnitude;
}

static inline uint16_t narrowFloat16(float value) {
  const uint32_t bits = bitsAs<uint32_t>(&value), sign = bits >> 16 & 0x8000, rest = bits & 0x7fffffff;
  if (rest > 0x7f800000) return static_cast<uint16_t>(sign | 0x7e00 | (rest >> 13 & 0x3ff));
  if (rest >= 0x477ff000) return static_cast<uint16_t>(sign | 0x7c00);  // rounds to 65536 or more
  if (rest < 0x38800000) {  // subnormal: adding 0.5 leaves units of 2^-24, rounded by the hardware
    const float shifted = floatOf(rest) + 0.5f;
    return static_cast<uint16_t>(sign | (bitsAs<uint32_t>(&shifted) - 0x3f000000));
  }
  return static_cast<uint16_t>(sign | ((rest - 0x38000000 + 0xfff + (rest >> 13 & 1)) >> 13));
}

struct Float16Format {
  typedef Floats Wide;
  static constexpr size_t kBytes = 2;
  static Wide load(const uint8_t* from) {
    Wide v;
    for (int i = 0; i < 16; i++) v[i] = widenFloat16(bitsAs<uint16_t>(from + 2 * i));
    return v;
  }
  static void store(uint8_t* to, Wide v) {
    for (int i = 0; i < 16; i++) {
      const uint16_t half = narrowFloat16(v[i]);
      memcpy(to + 2 * i, &half, sizeof half);
    }
  }
};
#endif

struct Int8Format {
  typedef Ints Wide;
  static constexpr size_t kBytes = 1;
  static Wide load(const uint8_t* from) { return __builtin_convertvector(bitsAs<Bytes16>(from), Ints); }
  static void store(uint8_t* to, Wide v) {
    const Bytes16 narrow = __builtin_convertvector(v, Bytes16);
    memcpy(to, &narrow, sizeof narrow);
  }
};

struct Int32Format {
  typedef Ints Wide;
  static constexpr size_t kBytes = 4;
  static Wide load(const uint8_t* from) { return bitsAs<Ints>(from); }
  static void store(uint8_t* to, Wide v) { memcpy(to, &v, sizeof v); }
};

// For averages, whose sum may exceed 32 bits.
struct WideInt32Format {
  typedef Longs Wide;
  static constexpr size_t kBytes = 4;
  static Wide load(const uint8_t* from) { return __builtin_convertvector(bitsAs<Ints8>(from), Longs); }
  static void store(uint8_t* to, Wide v) {
    const Ints8 narrow = __builtin_convertvector(v, Ints8);
    memcpy(to, &narrow, sizeof narrow);
  }
};

struct Int64Format {
  typedef Longs Wide;
  static constexpr size_t kBytes = 8;
  static Wide load(const uint8_t* from) { return bitsAs<Longs>(from); }
  static void store(uint8_t* to, Wide v) { memcpy(to, &v, sizeof v); }
};

// The reductions. Signed integers are added and multiplied as unsigned ones, which wrap.

static inline Floats added(Floats a, Floats b) { return a + b; }
static inline Ints added(Ints a, Ints b) { return (Ints)((Words)a + (Words)b); }
static inline Longs added(Longs a, Longs b) { return (Longs)((LongWords)a + (LongWords)b); }
static inline Floats multiplied(Floats a, Floats b) { return a * b; }
static inline Ints multiplied(Ints a, Ints b) { return (Ints)((Words)a * (Words)b); }
static inline Longs multiplied(Longs a, Longs b) { return (Longs)((LongWords)a * (LongWords)b); }

struct SumOf {
  template <class V>
  static V join(V a, V b) {
    return added(a, b);
  }
  template <class V>
  static V finish(V v, int) {
    return v;
  }
};

struct ProductOf {
  template <class V>
  static V join(V a, V b) {
    return multiplied(a, b);
  }
  template <class V>
  static V finish(V v, int) {
    return v;
  }
};

// `b != b` is true of a NaN alone; a NaN in `a` stays because no comparison with it holds.
struct MinimumOf {
  template <class V>
  static V join(V a, V b) {
    return (b < a) | (b != b) ? b : a;
  }
  template <class V>
  static V finish(V v, int) {
    return v;
  }
};

struct MaximumOf {
  template <class V>
  static V join(V a, V b) {
    return (b > a) | (b != b) ? b : a;
  }
  template <class V>
  static V finish(V v, int) {
    return v;
  }
};

struct AverageOf {
  template <class V>
  static V join(V a, V b) {
    return added(a, b);
  }
  static Floats finish(Floats v, int count) { return v / static_cast<float>(count); }
  static Ints finish(Ints v, int count) { return v / count; }
  static Longs finish(Longs v, int count) { return v / static_cast<int64_t>(count); }
};

template <class Format, class Operation>
static void reduce(uint8_t* out, const uint8_t* const* sources, int sourceCount, size_t count) {
  typedef typename Format::Wide Wide;
  constexpr size_t kLanes = sizeof(Wide) / sizeof(Wide{}[0]), kStep = kLanes * Format::kBytes;
  const size_t bytes = count * Format::kBytes, whole = bytes / kStep * kStep;
  size_t at = 0;
  if (sourceCount == 2) {  // by far the most common, and worth its own loop
    const uint8_t *a = sources[0], *b = sources[1];
    for (; at < whole; at += kStep) {
      Format::store(out + at, Operation::finish(Operation::join(Format::load(a + at), Format::load(b + at)), 2));
    }
  }
  for (; at < whole; at += kStep) {
    Wide value = Format::load(sources[0] + at);
    for (int source = 1; source < sourceCount; source++) value = Operation::join(value, Format::load(sources[source] + at));
    Format::store(out + at, Operation::finish(value, sourceCount));
  }
  if (at == bytes) return;
  uint8_t rest[kStep] = {};
  memcpy(rest, sources[0] + at, bytes - at);
  Wide value = Format::load(rest);
  for (int source = 1; source < sourceCount; source++) {
    memcpy(rest, sources[source] + at, bytes - at);
    value = Operation::join(value, Format::load(rest));
  }
  Format::store(rest, Operation::finish(value, sourceCount));
  memcpy(out + at, rest, bytes - at);
}

#define TROUPE_ROW(format, averageFormat)                                                                                                  \
  {                                                                                                                                        \
    reduce<format, SumOf>, reduce<format, ProductOf>, reduce<format, MinimumOf>, reduce<format, MaximumOf>,                                \
        reduce<averageFormat, AverageOf>                                                                                                   \
  }

// In the order of DataType, each row in that of Reduction.
static const ReductionTable table = {{
    {},
    TROUPE_ROW(Int8Format, Int8Format),
    TROUPE_ROW(Int32Format, WideInt32Format),
    TROUPE_ROW(Int64Format, Int64Format),
    TROUPE_ROW(Float16Format, Float16Format),
    TROUPE_ROW(BFloat16Format, BFloat16Format),
    TROUPE_ROW(Float32Format, Float32Format),
}};

#undef TROUPE_ROW

}  // namespace troupe::collective::TROUPE_REDUCTIONS
