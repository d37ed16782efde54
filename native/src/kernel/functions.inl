// Functions of single elements, as kernels.h lists them.

/// What a function gives for elements of a type: of floats, or of integers of 64 bits, which wrap around.
template <class T>
struct Arithmetic;

template <>
struct Arithmetic<float> {
  static float add(float a, float b) { return a + b; }
  static float subtract(float a, float b) { return a - b; }
  static float multiply(float a, float b) { return a * b; }
  /// The floor of the quotient, which is found from the remainder, as in Python: 1 // 0.1 is 9, though 1 / 0.1 rounds to 10.
  static float floorDivide(float a, float b) {
    if (b == 0) return a / b;
    const float quotient = (a - remainder(a, b)) / b;
    if (quotient == 0) return copysignf(0, a / b);
    const float floor = floorf(quotient);
    return quotient - floor > 0.5f ? floor + 1 : floor;
  }
  /// With the sign of the divisor; Infinity as Python has it.
  static float remainder(float a, float b) {
    const float rest = fmodf(a, b);
    return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest == 0 ? copysignf(rest, b) : rest;
  }
  static float absolute(float a) { return fabsf(a); }
  static float negative(float a) { return -a; }
  static float sign(float a) { return a > 0 ? 1.0f : a < 0 ? -1.0f : a; }
  static float power(float a, float b) { return powf(a, b); }
};

template <>
struct Arithmetic<int64_t> {
  static int64_t wrapped(uint64_t value) { return static_cast<int64_t>(value); }
  static uint64_t bits(int64_t value) { return static_cast<uint64_t>(value); }
  static int64_t add(int64_t a, int64_t b) { return wrapped(bits(a) + bits(b)); }
  static int64_t subtract(int64_t a, int64_t b) { return wrapped(bits(a) - bits(b)); }
  static int64_t multiply(int64_t a, int64_t b) { return wrapped(bits(a) * bits(b)); }
  /// Towards minus infinity; by zero it is zero, as in numpy.
  static int64_t floorDivide(int64_t a, int64_t b) {
    if (b == 0) return 0;
    if (b == -1) return negative(a);
    return a / b - (a % b != 0 && (a < 0) != (b < 0));
  }
  static int64_t remainder(int64_t a, int64_t b) {
    if (b == 0 || b == -1) return 0;
    const int64_t rest = a % b;
    return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
  }
  static int64_t absolute(int64_t a) { return a < 0 ? negative(a) : a; }
  static int64_t negative(int64_t a) { return wrapped(0 - bits(a)); }
  static int64_t sign(int64_t a) { return (a > 0) - (a < 0); }
  /// By squares. The schema refuses nothing here: a negative exponent gives what integers have for it, 0, 1 or -1.
  static int64_t power(int64_t a, int64_t b) {
    if (b < 0) return a == 1 ? 1 : a == -1 ? (b % 2 == 0 ? 1 : -1) : 0;
    int64_t result = 1;
    for (; b > 0; b >>= 1, a = multiply(a, a)) {
      if (b & 1) result = multiply(result, a);
    }
    return result;
  }
};

template <class T, class Each>
static inline void each1(const T* a, T* y, size_t count, Each&& of) {
  for (size_t i = 0; i < count; i++) y[i] = static_cast<T>(of(a[i]));
}

template <class T, class Each>
static inline void each2(const T* a, const T* b, T* y, size_t count, Each&& of) {
  for (size_t i = 0; i < count; i++) y[i] = static_cast<T>(of(a[i], b[i]));
}

/// Functions that both kinds of elements have; false if it is none of them.
template <class T>
static bool applyCommon(Function function, const T* a, const T* b, const T* c, T* y, size_t n) {
  using Of = Arithmetic<T>;
  switch (function) {
    case Function::Copy: return memmove(y, a, n * sizeof(T)), true;
    case Function::Negative: return each1(a, y, n, Of::negative), true;
    case Function::Abs: return each1(a, y, n, Of::absolute), true;
    case Function::Sign: return each1(a, y, n, Of::sign), true;
    case Function::Square: return each2(a, a, y, n, Of::multiply), true;
    case Function::LogicalNot: return each1(a, y, n, [](T x) { return x == 0; }), true;
    case Function::Add: return each2(a, b, y, n, Of::add), true;
    case Function::Subtract: return each2(a, b, y, n, Of::subtract), true;
    case Function::Multiply: return each2(a, b, y, n, Of::multiply), true;
    case Function::FloorDivide: return each2(a, b, y, n, Of::floorDivide), true;
    case Function::Remainder: return each2(a, b, y, n, Of::remainder), true;
    case Function::Pow: return each2(a, b, y, n, Of::power), true;
    // A NaN on either side is the result.
    case Function::Maximum: return each2(a, b, y, n, [](T l, T r) { return l > r || l != l ? l : r; }), true;
    case Function::Minimum: return each2(a, b, y, n, [](T l, T r) { return l < r || l != l ? l : r; }), true;
    case Function::Equal: return each2(a, b, y, n, [](T l, T r) { return l == r; }), true;
    case Function::NotEqual: return each2(a, b, y, n, [](T l, T r) { return l != r; }), true;
    case Function::Less: return each2(a, b, y, n, [](T l, T r) { return l < r; }), true;
    case Function::LessEqual: return each2(a, b, y, n, [](T l, T r) { return l <= r; }), true;
    case Function::Greater: return each2(a, b, y, n, [](T l, T r) { return l > r; }), true;
    case Function::GreaterEqual: return each2(a, b, y, n, [](T l, T r) { return l >= r; }), true;
    case Function::LogicalAnd: return each2(a, b, y, n, [](T l, T r) { return l != 0 && r != 0; }), true;
    case Function::LogicalOr: return each2(a, b, y, n, [](T l, T r) { return l != 0 || r != 0; }), true;
    case Function::LogicalXor: return each2(a, b, y, n, [](T l, T r) { return (l != 0) != (r != 0); }), true;
    case Function::Where:
      for (size_t i = 0; i < n; i++) y[i] = a[i] != 0 ? b[i] : c[i];
      return true;
    default: return false;
  }
}

static void applyToFloats(Function function, const float* a, const float* b, const float* c, float* y, size_t n) {
  if (applyCommon(function, a, b, c, y, n)) return;
  switch (function) {
    case Function::Sqrt: return each1(a, y, n, sqrtf);
    case Function::Reciprocal: return each1(a, y, n, [](float x) { return 1.0f / x; });
    case Function::Exp: return each1(a, y, n, expf);
    case Function::Expm1: return each1(a, y, n, expm1f);
    case Function::Log: return each1(a, y, n, logf);
    case Function::Log1p: return each1(a, y, n, log1pf);
    case Function::Log2: return each1(a, y, n, log2f);
    case Function::Sin: return each1(a, y, n, sinf);
    case Function::Cos: return each1(a, y, n, cosf);
    case Function::Tanh: return each1(a, y, n, tanhf);
    case Function::Atan2: return each2(a, b, y, n, atan2f);
    case Function::Floor: return each1(a, y, n, floorf);
    case Function::Ceil: return each1(a, y, n, ceilf);
    case Function::Trunc: return each1(a, y, n, truncf);
    // Ties to even.
    case Function::Round: return each1(a, y, n, rintf);
    case Function::IsNan: return each1(a, y, n, [](float x) { return x != x; });
    case Function::IsFinite: return each1(a, y, n, [](float x) { return x - x == 0; });
    case Function::Divide: return each2(a, b, y, n, [](float l, float r) { return l / r; });
    default: return;
  }
}

static void applyToIntegers(Function function, const int64_t* a, const int64_t* b, const int64_t* c, int64_t* y, size_t n) {
  if (applyCommon(function, a, b, c, y, n)) return;
  switch (function) {
    case Function::Floor:
    case Function::Ceil:
    case Function::Trunc:
    case Function::Round: memmove(y, a, n * sizeof(int64_t)); return;
    case Function::IsNan: return each1(a, y, n, [](int64_t) { return 0; });
    case Function::IsFinite: return each1(a, y, n, [](int64_t) { return 1; });
    default: return;
  }
}

/// y += factor · x
static void addMultiple(float factor, const float* x, float* y, size_t count) {
  for (size_t i = 0; i < count; i++) y[i] += factor * x[i];
}

/// In eight sums of doubles, which are as exact as one needs for floats, in any order.
static double sumInDoubles(const float* x, size_t count) {
  double sums[8] = {};
  size_t i = 0;
  for (; i + 8 <= count; i += 8) {
    for (size_t lane = 0; lane < 8; lane++) sums[lane] += static_cast<double>(x[i + lane]);
  }
  double sum = ((sums[0] + sums[4]) + (sums[1] + sums[5])) + ((sums[2] + sums[6]) + (sums[3] + sums[7]));
  for (; i < count; i++) sum += static_cast<double>(x[i]);
  return sum;
}
