// logits [rows, columns] → found [rows, 1 + 2 · most]: the natural logarithm of each row's token's probability, then the wanted[row]
// likeliest tokens and theirs. Rows whose `wanted` is negative are left as they are. A block a row.
#include "errors.cuh"
#include "reductions.cuh"

/// Likelier, and of equally likely ones the first: as one number, so that the highest is looked for. Below all that there is for NaN.
__device__ inline unsigned long long rankOf(float logit, int token) {
  const unsigned bits = __float_as_uint(logit == 0 ? 0.0f : logit);
  const unsigned order = bits & 0x80000000u ? ~bits : bits | 0x80000000u;
  return static_cast<unsigned long long>(order) << 32 | ~static_cast<unsigned>(token);
}

extern "C" __global__ void __launch_bounds__(256)
    log_probs(const float* logits, const int* tokens, const int* wanted, float* found, int columns, int foundColumns, unsigned* error,
              unsigned operation) {
  __shared__ double sums[8];
  __shared__ unsigned long long ranks[8];
  const int asked = wanted[blockIdx.x];
  if (asked < 0) return;
  const float* row = logits + static_cast<size_t>(blockIdx.x) * columns;
  float* to = found + static_cast<size_t>(blockIdx.x) * foundColumns;
  double highest = -kInfinity;
  for (int i = threadIdx.x; i < columns; i += blockDim.x) highest = Maximum::of(highest, static_cast<double>(row[i]));
  highest = reduceBlock<Maximum>(highest, sums);
  double total = 0;
  for (int i = threadIdx.x; i < columns; i += blockDim.x) total += exp(row[i] - highest);
  total = reduceBlock<Sum>(total, sums);
  const double logTotal = highest + log(total);
  if (threadIdx.x == 0) {
    const int token = tokens[blockIdx.x];
    to[0] = token < 0 ? 0.0f : static_cast<float>(row[checkedIndex(token, columns, error, operation)] - logTotal);
  }
  const int most = min(min(asked, (foundColumns - 1) / 2), columns);
  unsigned long long below = ~0ull;
  for (int n = 0; n < most; n++) {
    unsigned long long best = 0;
    for (int i = threadIdx.x; i < columns; i += blockDim.x) {
      const unsigned long long rank = rankOf(row[i], i);
      if (rank < below && rank > best) best = rank;
    }
    below = reduceBlock<Maximum>(best, ranks);
    if (threadIdx.x != 0) continue;
    const int token = static_cast<int>(~static_cast<unsigned>(below));
    to[1 + 2 * n] = static_cast<float>(token);
    to[2 + 2 * n] = static_cast<float>(row[token] - logTotal);
  }
}
