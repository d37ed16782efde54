// Softmax attention over a paged cache of TYPE, as cache_store.cu fills it. Query i sees the cached tokens [begin[i], end[i]) of its
// sequence. The tokens of a query are divided into splits of kSplit, by their places in the sequence, each computed by a block (Flash-
// Decoding, https://pytorch.org/blog/flash-decoding), and joined by their log-sum-exps.
#include "elements.cuh"
#include "errors.cuh"
#include "reductions.cuh"

struct Shape {
  int queries, heads, keyHeads, headSize, blockTokens, blocksPerSequence, sequences, blocks, splits;
  float scale;
};

constexpr int kSplit = 256, kThreads = 128;

/// Where a token's piece of the cache begins, for one key head.
__device__ const byte* pieceOf(const byte* cache, const Shape& shape, const int* table, int keyHead, int token, unsigned* error,
                               unsigned operation) {
  const int block = checkedIndex(table[token / shape.blockTokens], shape.blocks, error, operation);
  const size_t bytes = static_cast<size_t>(shape.blockTokens) * (static_cast<size_t>(shape.headSize) * TYPE::kBytes + (TYPE::kBytes == 1 ? 4 : 0));
  return cache + (static_cast<size_t>(block) * shape.keyHeads + keyHead) * bytes;
}

__device__ float scaleOf(const byte* piece, int place) { return TYPE::kBytes == 1 ? floatAt(piece + 4 * place) : 1.0f; }

__device__ const byte* elementsOf(const byte* piece, const Shape& shape) {
  return piece + (TYPE::kBytes == 1 ? 4 * static_cast<size_t>(shape.blockTokens) : 0);
}

/// A part has headSize sums of weighted values, the highest score, and the sum of the weights. A block for each split, head and query.
extern "C" __global__ void __launch_bounds__(kThreads)
    attention_part(const float* query, const byte* keys, const byte* values, const int* sequence, const int* begin, const int* end,
                   const int* blockTables, const int* keyHeadOf, float* parts, Shape shape, unsigned* error, unsigned operation) {
  __shared__ float weights[kSplit];
  __shared__ float reduced[kThreads / 32];
  extern __shared__ float queryOrSums[];  // [max(headSize, kThreads)]
  const int split = blockIdx.x, head = blockIdx.y, at = blockIdx.z;
  const int mostTokens = shape.blocksPerSequence * shape.blockTokens;
  const int from = checkedIndex(begin[at], mostTokens + 1, error, operation), to = checkedIndex(end[at], mostTokens + 1, error, operation);
  const int first = max(from, split * kSplit), last = min(to, (split + 1) * kSplit), count = last - first;
  if (count <= 0) return;  // the joining pass knows it too
  const int* table = blockTables + static_cast<size_t>(checkedIndex(sequence[at], shape.sequences, error, operation)) * shape.blocksPerSequence;
  const int keyHead = keyHeadOf[head], headSize = shape.headSize;
  const float* own = query + (static_cast<size_t>(at) * shape.heads + head) * headSize;
  float* part = parts + ((static_cast<size_t>(at) * shape.heads + head) * shape.splits + split) * (headSize + 2);

  for (int i = threadIdx.x; i < headSize; i += kThreads) queryOrSums[i] = own[i];
  __syncthreads();
  float highest = -kInfinity;
  for (int i = threadIdx.x; i < count; i += kThreads) {
    const int token = first + i, place = token % shape.blockTokens;
    const byte* piece = pieceOf(keys, shape, table, keyHead, token, error, operation);
    const byte* key = elementsOf(piece, shape) + static_cast<size_t>(place) * TYPE::kBytes;
    float score = 0;
    for (int k = 0; k < headSize; k++) score += queryOrSums[k] * TYPE::at(key + static_cast<size_t>(k) * shape.blockTokens * TYPE::kBytes, 0);
    score *= shape.scale * scaleOf(piece, place);
    score += score - score;  // what is infinite is no number either
    weights[i] = score;
    highest = Maximum::of(highest, score);
  }
  highest = reduceBlock<Maximum>(highest, reduced);
  float total = 0;
  for (int i = threadIdx.x; i < count; i += kThreads) {
    weights[i] = expf(weights[i] - highest);
    total += weights[i];
  }
  total = reduceBlock<Sum>(total, reduced);

  // Threads side by side have elements side by side; where a head has few, groups of threads have every so many tokens.
  for (int base = 0; base < headSize; base += kThreads) {
    const int width = min(kThreads, headSize - base), groups = kThreads / width, group = threadIdx.x / width;
    const int element = base + threadIdx.x % width;
    float sum = 0;
    for (int i = group; i < count && group < groups; i += groups) {
      const int token = first + i, place = token % shape.blockTokens;
      const byte* piece = pieceOf(values, shape, table, keyHead, token, error, operation);
      sum += weights[i] * scaleOf(piece, place) *
             TYPE::at(elementsOf(piece, shape) + (static_cast<size_t>(place) * headSize + element) * TYPE::kBytes, 0);
    }
    __syncthreads();
    queryOrSums[threadIdx.x] = sum;
    __syncthreads();
    if (group == 0) {
      for (int other = 1; other < groups; other++) sum += queryOrSums[other * width + threadIdx.x];
      part[element] = sum;
    }
  }
  if (threadIdx.x != 0) return;
  part[headSize] = highest;
  part[headSize + 1] = total;
}

/// Joins the parts of a query and head: a block for each. Zeros where the query sees nothing.
extern "C" __global__ void __launch_bounds__(kThreads)
    attention_join(const float* parts, const int* begin, const int* end, float* y, Shape shape) {
  const int head = blockIdx.x, at = blockIdx.y, headSize = shape.headSize, stride = headSize + 2;
  const float* own = parts + (static_cast<size_t>(at) * shape.heads + head) * shape.splits * stride;
  float* to = y + (static_cast<size_t>(at) * shape.heads + head) * headSize;
  const int mostTokens = shape.blocksPerSequence * shape.blockTokens;
  const int from = max(0, begin[at]), until = min(mostTokens, end[at]);
  const int first = from / kSplit, last = from < until ? (until - 1) / kSplit : first - 1;
  float highest = -kInfinity, total = 0;
  for (int split = first; split <= last; split++) highest = Maximum::of(highest, own[split * stride + headSize]);
  for (int split = first; split <= last; split++)
    total += own[split * stride + headSize + 1] * expf(own[split * stride + headSize] - highest);
  for (int i = threadIdx.x; i < headSize; i += kThreads) {
    float sum = 0;
    for (int split = first; split <= last; split++) sum += own[split * stride + i] * expf(own[split * stride + headSize] - highest);
    to[i] = from < until ? sum / total : 0.0f;
  }
}
