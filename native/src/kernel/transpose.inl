// Transposes W vectors of W floats: at each level, blocks of HALF lanes change places across the diagonal of pairs of
// vectors that are HALF apart (Eklundh, IEEE Transactions on Computers 21 (7), 1972).

template <size_t HALF, size_t... LANE>
static inline void exchange(Vec& a, Vec& b, std::index_sequence<LANE...>) {
#if defined(__clang__)
  const Vec low = __builtin_shufflevector(a, b, (LANE & HALF ? W + LANE - HALF : LANE)...);
  b = __builtin_shufflevector(a, b, (LANE & HALF ? W + LANE : LANE + HALF)...);
#else
  const Vec low = __builtin_shuffle(a, b, IntVec{static_cast<int32_t>(LANE & HALF ? W + LANE - HALF : LANE)...});
  b = __builtin_shuffle(a, b, IntVec{static_cast<int32_t>(LANE & HALF ? W + LANE : LANE + HALF)...});
#endif
  a = low;
}

template <size_t HALF>
static inline void exchangeLevel(Vec (&rows)[W]) {
  for (size_t i = 0; i < W; i++) {
    if ((i & HALF) == 0) exchange<HALF>(rows[i], rows[i + HALF], std::make_index_sequence<W>{});
  }
  if constexpr (HALF > 1) exchangeLevel<HALF / 2>(rows);
}

static inline void transpose(Vec (&rows)[W]) { exchangeLevel<W / 2>(rows); }

/// Sums of the lanes of W vectors, the first's in the first lane. The vectors are lost.
template <size_t HALF = W / 2>
static inline Vec sumsOfRows(Vec (&rows)[W]) {
  for (size_t i = 0; i < HALF; i++) {
    exchange<HALF>(rows[i], rows[i + HALF], std::make_index_sequence<W>{});
    rows[i] += rows[i + HALF];
  }
  if constexpr (HALF > 1) return sumsOfRows<HALF / 2>(rows);
  return rows[0];
}
