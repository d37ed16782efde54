// Counts token i in row rows[i] of a table, unless either is negative. Bit 30 of a count says that the prompt has the token, and stays;
// the bits below it count up to the most that they hold.
#include "errors.cuh"

extern "C" __global__ void count_tokens(const int* tokens, const int* rows, int* counts, int count, int tableRows, int columns,
                                        unsigned* error, unsigned operation) {
  constexpr int kInPrompt = 1 << 30;
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= count || tokens[i] < 0 || rows[i] < 0) return;
  const int row = checkedIndex(rows[i], tableRows, error, operation), token = checkedIndex(tokens[i], columns, error, operation);
  if (row != rows[i] || token != tokens[i]) return;
  int* counted = counts + static_cast<size_t>(row) * columns + token;
  int found = atomicAdd(counted, 0);
  for (;;) {  // each round that fails is one of another thread that has succeeded
    if ((found & (kInPrompt - 1)) == kInPrompt - 1) return;
    const int before = atomicCAS(counted, found, found + 1);
    if (before == found) return;
    found = before;
  }
}
