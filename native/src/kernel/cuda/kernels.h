#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "device/module.h"
#include "kernel/data_type.h"

namespace troupe::cuda {

using kernel::DataType;

/// The word of device memory that tells of indices which a run computed itself and which lead out of bounds, and which operation this is:
/// see errors.cuh. 0 while there are none, else the operation's number plus 1.
struct ErrorWord {
  uint32_t* word;
  uint32_t operation;
};

/// Sizes of attention over a paged cache.
struct AttentionShape {
  int queries, heads, keyHeads, headSize, blockTokens, blocksPerSequence, sequences, blocks;
  float scale;
};

/// The operations of programs as kernels of one GPU. All addresses are of its memory; what a call gives to the stream is computed in order
/// with the rest of it. Matrices are float32, [rows, columns], where nothing else is said; sizes of 0 are nothing to do. A kernel is
/// compiled when it is first launched. Throws CudaError.
class Kernels {
 public:
  explicit Kernels(std::shared_ptr<Gpu> gpu, CubinCache cache = CubinCache()) : gpu_(std::move(gpu)), cache_(std::move(cache)) {}

  /// tokens [count], table [rows, columns] of a type, from index `start` on → y [count, columns]
  void embedding(const Stream& stream, const int32_t* tokens, const uint8_t* table, DataType type, float* y, int count, int rows,
                 int columns, int start);
  /// x [runs, columns], weight [columns] → y [runs, columns]
  void rmsNorm(const Stream& stream, const float* x, const float* weight, float* y, int runs, int columns, float epsilon);
  /// x [tokens, inputs], weight [outputs, inputs] of a type, bias [outputs] or null, residual [tokens, outputs] or null → y [tokens, outputs]
  void linear(const Stream& stream, const float* x, const uint8_t* weight, DataType type, const float* bias, const float* residual,
              float* y, int tokens, int inputs, int outputs);
  void add(const Stream& stream, const float* a, const float* b, float* y, size_t count);
  void siluMultiply(const Stream& stream, const float* gate, const float* up, float* y, size_t count);
  /// positions [rows], frequencies [half] → table [rows, 2 · half]
  void rotaryTable(const Stream& stream, const int32_t* positions, const float* frequencies, float* table, int rows, int half, float scale);
  /// x [rows, columns], table [rows, headSize] → y [rows, columns]
  void rotate(const Stream& stream, const float* x, const float* table, float* y, int rows, int columns, int headSize);
  /// x [count, keyHeads · headSize] into a cache of so many blocks, as kv_cache.inl has it
  void cacheStore(const Stream& stream, const float* x, const int32_t* slots, uint8_t* cache, DataType type, int count, int keyHeads,
                  int headSize, int blockTokens, int blocks, bool areKeys, ErrorWord error);
  /// query [queries, heads · headSize] → y of that shape. `parts` has attentionFloats() floats.
  void attention(const Stream& stream, const float* query, const uint8_t* keys, const uint8_t* values, DataType type,
                 const int32_t* sequence, const int32_t* begin, const int32_t* end, const int32_t* blockTables, const int32_t* keyHeadOf,
                 float* parts, float* y, const AttentionShape& shape, ErrorWord error);
  static size_t attentionFloats(const AttentionShape& shape);
  /// x [rows, columns], indices [count] → y [count, columns]
  void gatherRows(const Stream& stream, const float* x, const int32_t* indices, float* y, int count, int rows, int columns,
                  ErrorWord error);
  /// x [count, columns], of any type of four bytes, into table [rows, columns]
  void scatterRows(const Stream& stream, const void* x, const int32_t* indices, void* table, int count, int rows, int columns,
                   ErrorWord error);
  void resolve(const Stream& stream, const int32_t* indices, const int32_t* table, int32_t* y, int count, int rows, ErrorWord error);
  void countTokens(const Stream& stream, const int32_t* tokens, const int32_t* rows, int32_t* counts, int count, int tableRows, int columns,
                   ErrorWord error);
  /// logits [rows, columns], tokens and wanted [rows] → found [rows, foundColumns]
  void logProbs(const Stream& stream, const float* logits, const int32_t* tokens, const int32_t* wanted, float* found, int rows,
                int columns, int foundColumns, ErrorWord error);

 private:
  /// The kernel of a file, compiled for elements of a type if it has such.
  const Kernel& find(const char* file, const char* name, const char* type = nullptr, size_t dynamicBytes = 0);

  const std::shared_ptr<Gpu> gpu_;
  const CubinCache cache_;
  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<Module>> modules_;
  std::map<std::string, Kernel> kernels_;
};

}  // namespace troupe::cuda
