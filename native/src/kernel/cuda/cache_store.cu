// Writes keys or values into a paged cache of TYPE, at the token slots that are named. A block of the cache has a piece for each key head:
// of values [token][element], of keys [element][token]; one of int8 begins with a float scale for each token. A warp a token and head.
#include "elements.cuh"
#include "errors.cuh"
#include "reductions.cuh"

extern "C" __global__ void cache_store(const float* x, const int* slots, byte* cache, int count, int keyHeads, int headSize,
                                       int blockTokens, int blocks, int areKeys, unsigned* error, unsigned operation) {
  const int lane = threadIdx.x % 32, at = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32;
  if (at >= count * keyHeads) return;
  const int token = at / keyHeads, head = at % keyHeads;
  const int slot = slots[token], kept = checkedIndex(slot, blocks * blockTokens, error, operation);
  if (kept != slot) return;
  const int place = slot % blockTokens;
  const bool isScaled = TYPE::kBytes == 1;
  const size_t pieceBytes = static_cast<size_t>(blockTokens) * (static_cast<size_t>(headSize) * TYPE::kBytes + (isScaled ? 4 : 0));
  byte* piece = cache + (static_cast<size_t>(slot / blockTokens) * keyHeads + head) * pieceBytes;
  const float* row = x + static_cast<size_t>(at) * headSize;
  float factor = 1;
  if (isScaled) {
    // The scale by which the largest becomes 127 or -127; a row with what is no number has none.
    int largest = 0;  // bits of floats without a sign are in the order of their values
    for (int i = lane; i < headSize; i += 32) largest = max(largest, __float_as_int(row[i]) & 0x7fffffff);
    largest = reduceWarp<Maximum>(largest);
    const float scale = largest < 0x7f800000 ? __int_as_float(largest) / 127.0f : __int_as_float(0x7fc00000);
    factor = scale > 1e-36f ? 1.0f / scale : 0.0f;
    if (lane == 0) putFloat(piece + 4 * place, scale);
    piece += 4 * static_cast<size_t>(blockTokens);
  }
  for (int i = lane; i < headSize; i += 32) {
    const size_t element = areKeys ? static_cast<size_t>(i) * blockTokens + place : static_cast<size_t>(place) * headSize + i;
    TYPE::put(piece + element * TYPE::kBytes, isScaled ? (factor == 0 ? 0.0f : row[i] * factor) : row[i]);
  }
}
