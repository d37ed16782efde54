#pragma once

#include <cstddef>
#include <cstdint>

#include "kernel/data_type.h"

namespace troupe::kernel {

/// y[t][o] = sum over k of x[t][k] · weight[o][k], plus bias[o] and residual[t][o] where there are such.
///
/// A quantized weight is multiplied in integers: each 32 inputs of a token are scaled to int8 by a scale of their own.
/// Many tokens are multiplied by panels of weights (see float_panel.inl), few by rows of them; a token gets the same bits either way.
struct Linear {
  const float* x;         // [tokens, inputs]
  const uint8_t* weight;  // [outputs, inputs]
  DataType weightType;
  const float* bias;      // [outputs] or null
  const float* residual;  // [tokens, outputs] or null; not the memory of y
  float* y;               // [tokens, outputs], rows yStride apart
  size_t yStride;
  size_t tokens, inputs, outputs;
  const uint8_t* packed = nullptr;  // the weight as `pack` has packed it, instead of `weight`, or null
};

/// Functions of single elements, by the names and with the meaning that the array API standard (2023.12) gives them. Comparisons
/// and logical ones give 0 or 1; Where is b where a is not 0, else c.
enum class Function : uint8_t {
  // clang-format off
  Copy, Negative, Abs, Sign, Square, Sqrt, Reciprocal, Exp, Expm1, Log, Log1p, Log2, Sin, Cos, Tanh, Floor, Ceil, Trunc, Round,
  LogicalNot, IsNan, IsFinite,
  Add, Subtract, Multiply, Divide, FloorDivide, Remainder, Pow, Atan2, Maximum, Minimum, Equal, NotEqual, Less, LessEqual, Greater,
  GreaterEqual, LogicalAnd, LogicalOr, LogicalXor,
  Where,
  // clang-format on
};

/// What the rows that are packed at once are a multiple of, for the kernels of every instruction set.
constexpr size_t kPackedRows = 16;

/// Writes keys or values into a paged cache, rounded to its type.
struct CacheStore {
  const float* x;        // [tokens, keyHeads * headSize]
  const int32_t* slots;  // [tokens]: a token's block * blockTokens + its place there
  uint8_t* cache;        // [blocks, keyHeads] pieces, as kv_cache.inl says
  DataType cacheType;    // Float32, Float16, BFloat16 or Int8
  size_t keyHeads, headSize, blockTokens;
  bool areKeys;
};

/// Scaled dot-product attention over a paged cache. Query i sees the cached tokens [begin[i], end[i]) of its sequence, and gets the same
/// bits whatever other queries there are.
/// Softmax is computed online, block by block (Milakov and Gimelshein, arXiv 1805.02867).
struct Attention {
  const float* query;          // [queries, heads * headSize]
  const uint8_t* keys;         // [blocks, keyHeads] pieces, as storeInCache() has written them
  const uint8_t* values;       // likewise
  DataType cacheType;          // Float32, Float16, BFloat16 or Int8
  const int32_t* sequence;     // [queries]: the row of blockTables that a query's keys are found through
  const int32_t* begin;        // [queries]
  const int32_t* end;          // [queries]
  const int32_t* blockTables;  // [sequences, blocksPerSequence]
  const int32_t* keyHeadOf;    // [heads]: the key/value head that each query head reads, rising
  float* out;                  // [queries, heads * headSize], and heads log-sum-exps behind each row if `partial`
  size_t queries, heads, keyHeads, headSize, blockTokens, blocksPerSequence;
  float scale;
  bool partial;
};

/// The heads [begin, end) that read one key/value head.
struct HeadGroup {
  size_t begin, end;
};

/// The operations of one instruction set. Ranges are half-open; a caller divides them over threads.
struct Kernels {
  const char* name;

  /// Rows of a panel: the best unit by which to divide a product's outputs.
  size_t panelRows;
  /// Bytes that `prepare` writes for all tokens, and that `linear` needs of its own for each thread.
  size_t (*preparedBytes)(DataType weightType, size_t tokens, size_t inputs);
  size_t (*panelBytes)(DataType weightType, size_t tokens, size_t inputs);
  /// How many tokens `prepare` treats as one; 0 if products of so many tokens need no preparation.
  size_t (*preparedTile)(DataType weightType, size_t tokens);
  /// Brings tokens, in tiles [tileBegin, tileEnd), into the form that products with weights of a type read.
  void (*prepare)(const float* x, DataType weightType, size_t tokens, size_t inputs, uint8_t* prepared, size_t tileBegin, size_t tileEnd);
  /// Bytes of `rows` rows of a weight when they are packed: the layout in which products read them fastest; 0 for types that have none.
  size_t (*packedBytes)(DataType type, size_t rows, size_t inputs);
  /// Packs rows that lie behind each other. All but the last of a weight are packed in multiples of kPackedRows.
  void (*pack)(const uint8_t* weight, DataType type, size_t rows, size_t inputs, uint8_t* packed);
  /// Writes one row as it was before it was packed.
  void (*unpackRow)(const uint8_t* packed, DataType type, size_t row, size_t inputs, uint8_t* to);
  /// Computes outputs [outputBegin, outputEnd). `prepared` holds all of op.x.
  void (*linear)(const Linear& op, const uint8_t* prepared, uint8_t* panel, size_t outputBegin, size_t outputEnd);

  /// Stores tokens [begin, end).
  void (*storeInCache)(const CacheStore& op, size_t begin, size_t end);
  /// Bytes that attention needs of its own for each thread.
  size_t (*attentionBytes)(const Attention& op);
  /// Tokens of a split: a query's tokens may be divided at multiples of so many without a change of its bits.
  size_t splitTokens;
  /// Floats of a part of one head.
  size_t (*partStride)(size_t headSize);
  /// One query, the heads of one group, and the tokens [begin, end): writes a part of each head.
  void (*attendQuery)(const Attention& op, size_t query, HeadGroup group, size_t begin, size_t end, float* part, uint8_t* scratch);
  /// Joins the parts of a query, `stride` apart, in the order of their tokens, and writes op.out. The parts are lost.
  void (*joinQuery)(const Attention& op, size_t query, HeadGroup group, float* parts, size_t count, size_t stride);
  /// Queries [queryBegin, queryEnd), all of one sequence, and the heads of one group; writes op.out.
  void (*attendTile)(const Attention& op, size_t queryBegin, size_t queryEnd, HeadGroup group, uint8_t* scratch);

  void (*rmsNorm)(const float* x, const float* weight, float* y, size_t rows, size_t columns, float epsilon);
  void (*add)(const float* a, const float* b, float* sum, size_t count);
  void (*siluMultiply)(const float* gate, const float* up, float* y, size_t count);
  /// Rotates the halves of each head against each other: table row = cosines, then sines, each headSize/2 long.
  void (*rotate)(const float* x, const float* table, float* y, size_t rows, size_t heads, size_t headSize);
  /// `count` elements, whole blocks of them, as float32.
  void (*toFloat)(const uint8_t* from, DataType type, float* to, size_t count);

  /// `count` floats rounded to the nearest Float16 or BFloat16, or in Int8 groups; Float32 as they are.
  void (*fromFloat)(const float* from, DataType type, uint8_t* to, size_t count);
  /// Adds to `to` what groups of Int8 hold.
  void (*addInt8Groups)(const uint8_t* from, float* to, size_t count);

  /// y[i] = function(a[i], b[i], c[i]), of as many operands as the function takes. Integers wrap around.
  void (*applyToFloats)(Function function, const float* a, const float* b, const float* c, float* y, size_t count);
  void (*applyToIntegers)(Function function, const int64_t* a, const int64_t* b, const int64_t* c, int64_t* y, size_t count);
  /// y += factor · x
  void (*addMultiple)(float factor, const float* x, float* y, size_t count);
  double (*sumInDoubles)(const float* x, size_t count);

  /// The best that the hardware can do, for benchmarks to be held against: the sum of `count` floats, and `rounds` times
  /// multiplyAddsPerRound independent multiply-adds.
  float (*sum)(const float* from, size_t count);
  size_t multiplyAddsPerRound;
  float (*multiplyAdd)(size_t rounds);
};

/// The fastest kernels that this CPU runs, or those that TROUPE_CPU names (portable, avx2, avxvnni, avx512).
const Kernels& kernels();
/// By name; null if this build or this CPU lacks them.
const Kernels* kernelsNamed(const char* name);

const Kernels* portableKernels();
const Kernels* avx2Kernels();
const Kernels* avxvnniKernels();
const Kernels* avx512Kernels();

}  // namespace troupe::kernel
