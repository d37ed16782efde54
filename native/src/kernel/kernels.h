#pragma once

#include <cstddef>
#include <cstdint>

namespace troupe::kernel {

enum class DataType : uint8_t { Float32, Float16, BFloat16, Int32 };

inline size_t bytesOf(DataType type) {
  return type == DataType::Float32 || type == DataType::Int32 ? 4 : 2;
}

/// y[t][o] = sum over k of x[t][k] · weight[o][k], plus bias[o] if there is one.
struct Linear {
  const float* x;        // [tokens, inputs]
  const uint8_t* weight; // [outputs, inputs]
  DataType weightType;
  const float* bias;     // [outputs] or null
  float* y;              // [tokens, outputs]
  size_t tokens, inputs, outputs;
};

/// Scaled dot-product attention over a paged cache. Query i sees the cached tokens [begin[i], end[i]) of its sequence.
/// Softmax is computed online, block by block (Milakov and Gimelshein, arXiv 1805.02867).
struct Attention {
  const float* query;       // [queries, heads * headSize]
  const float* keys;        // [blocks, keyHeads, blockTokens, headSize]
  const float* values;      // likewise
  const int32_t* sequence;  // [queries]: the row of blockTables that a query's keys are found through
  const int32_t* begin;     // [queries]
  const int32_t* end;       // [queries]
  const int32_t* blockTables;  // [sequences, blocksPerSequence]
  const int32_t* keyHeadOf;    // [heads]: the key/value head that each query head reads
  float* out;               // [queries, heads * headSize], and heads log-sum-exps behind each row if `partial`
  size_t heads, keyHeads, headSize, blockTokens, blocksPerSequence;
  float scale;
  bool partial;
};

/// The operations of one instruction set. Ranges are half-open; a caller divides them over threads.
struct Kernels {
  const char* name;
  void (*linear)(const Linear& op, size_t outputBegin, size_t outputEnd);
  void (*attention)(const Attention& op, size_t begin, size_t end);  // over queries × heads
  void (*rmsNorm)(const float* x, const float* weight, float* y, size_t rows, size_t columns, float epsilon);
  void (*add)(const float* a, const float* b, float* sum, size_t count);
  void (*siluMultiply)(const float* gate, const float* up, float* y, size_t count);
  /// Rotates the halves of each head against each other: table row = cosines, then sines, each headSize/2 long.
  void (*rotate)(const float* x, const float* table, float* y, size_t rows, size_t heads, size_t headSize);
  void (*toFloat)(const uint8_t* from, DataType type, float* to, size_t count);
};

/// The fastest kernels that this CPU runs, or those that TROUPE_CPU names (portable, avx2, avx512).
const Kernels& kernels();
/// By name; null if this build or this CPU lacks them.
const Kernels* kernelsNamed(const char* name);

const Kernels* portableKernels();
const Kernels* avx2Kernels();
const Kernels* avx512Kernels();

}  // namespace troupe::kernel
