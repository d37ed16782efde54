// The best that the hardware can do, which benchmarks hold their figures against.

static float sum(const float* from, size_t count) {
  constexpr size_t kStreams = 8;
  Vec sums[kStreams] = {};
  for (size_t i = 0; i + kStreams * W <= count; i += kStreams * W) {
    for (size_t s = 0; s < kStreams; s++) sums[s] += load(from + i + s * W);
  }
  for (size_t s = 1; s < kStreams; s++) sums[0] += sums[s];
  return sumOf(sums[0]);
}

constexpr size_t kSums = 12;
constexpr size_t kMultiplyAddsPerRound = kSums * W;

static float multiplyAdd(size_t rounds) {
  Vec sums[kSums], factor = splat(0.5f), term = splat(1.0f);
  // Loops that are unrolled, or else the sums stay in memory; sums that differ, or else they become one.
#pragma GCC unroll 16
  for (size_t s = 0; s < kSums; s++) sums[s] = splat(static_cast<float>(s));
  for (size_t i = 0; i < rounds; i++) {
    // The compiler may not see that these do not change, lest it folds the loop.
    asm volatile("" : "+m"(factor), "+m"(term));
#pragma GCC unroll 16
    for (size_t s = 0; s < kSums; s++) sums[s] = sums[s] * factor + term;
  }
#pragma GCC unroll 16
  for (size_t s = 1; s < kSums; s++) sums[0] += sums[s];
  return sumOf(sums[0]);
}
