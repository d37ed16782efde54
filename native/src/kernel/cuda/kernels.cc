#include "kernel/cuda/kernels.h"

#include <algorithm>

#include "kernel/cuda/sources.h"

namespace troupe::cuda {
namespace {

/// Tokens from which on products go in tiles; below, weights are read once for every eight of them. Of linear.cu also the sizes below.
constexpr int kManyTokens = 17;
constexpr unsigned kFewTokens = 8, kWarps = 4, kTile = 64;
/// Of attention.cu: the tokens of a split, and the threads of a block.
constexpr int kSplit = 256, kAttentionThreads = 128;

unsigned dividedBy(size_t count, size_t by) { return static_cast<unsigned>((count + by - 1) / by); }

/// Threads for a row of so many columns: whole warps.
unsigned threadsFor(int columns) { return std::min(256u, 32 * std::max(1u, dividedBy(static_cast<size_t>(columns), 32))); }

const char* nameOf(DataType type) {
  switch (type) {
    case DataType::Float32: return "Float32";
    case DataType::Float16: return "Float16";
    case DataType::BFloat16: return "BFloat16";
    case DataType::Int8: return "Int8";
    case DataType::Q8_0: return "Q8_0";
    case DataType::Q4_0: return "Q4_0";
    case DataType::Q4_1: return "Q4_1";
    case DataType::Q5_0: return "Q5_0";
    case DataType::Q5_1: return "Q5_1";
    case DataType::Q4_K: return "Q4_K";
    case DataType::Q5_K: return "Q5_K";
    case DataType::Q6_K: return "Q6_K";
    default: throw CudaError("there is no kernel for elements of type " + std::to_string(static_cast<int>(type)));
  }
}

/// As attention.cu declares it.
struct Shape {
  int queries, heads, keyHeads, headSize, blockTokens, blocksPerSequence, sequences, blocks, splits;
  float scale;
};

int splitsOf(const AttentionShape& shape) {
  return static_cast<int>(dividedBy(static_cast<size_t>(shape.blocksPerSequence) * static_cast<size_t>(shape.blockTokens), kSplit));
}

}  // namespace

const Kernel& Kernels::find(const char* file, const char* name, const char* type, size_t dynamicBytes) {
  std::lock_guard<std::mutex> lock(mutex_);
  const std::string of = type != nullptr ? std::string(" ") + type : "";
  const auto found = kernels_.find(name + of);
  if (found != kernels_.end()) return found->second;
  auto& module = modules_[file + of];
  if (!module) {
    Source source{file, kSources.at(file), {}, {}};
    for (const auto& [header, text] : kSources) {
      if (header.size() > 4 && header.compare(header.size() - 4, 4, ".cuh") == 0) source.headers[header] = text;
    }
    if (type != nullptr) source.definitions.push_back(std::string("TYPE=") + type);
    module = std::make_shared<Module>(gpu_, source, cache_);
  }
  return kernels_.emplace(name + of, Kernel(module, name, dynamicBytes)).first->second;
}

void Kernels::embedding(const Stream& stream, const int32_t* tokens, const uint8_t* table, DataType type, float* y, int count, int rows,
                        int columns, int start) {
  find("embedding.cu", "embedding", nameOf(type))
      .launch(stream, {static_cast<unsigned>(count)}, {threadsFor(columns)}, 0, tokens, table, y, rows, columns, start);
}

void Kernels::rmsNorm(const Stream& stream, const float* x, const float* weight, float* y, int runs, int columns, float epsilon) {
  find("rms_norm.cu", "rms_norm").launch(stream, {static_cast<unsigned>(runs)}, {threadsFor(columns)}, 0, x, weight, y, columns, epsilon);
}

void Kernels::linear(const Stream& stream, const float* x, const uint8_t* weight, DataType type, const float* bias, const float* residual,
                     float* y, int tokens, int inputs, int outputs) {
  const auto rows = static_cast<size_t>(tokens), columns = static_cast<size_t>(outputs);
  if (tokens < kManyTokens) {
    find("linear.cu", "linear_few", nameOf(type))
        .launch(stream, {dividedBy(columns, kWarps), dividedBy(rows, kFewTokens)}, {32 * kWarps}, 0, x, weight, bias, residual, y, tokens,
                inputs, outputs);
  } else {
    find("linear.cu", "linear_many", nameOf(type))
        .launch(stream, {dividedBy(columns, kTile), dividedBy(rows, kTile)}, {256}, 0, x, weight, bias, residual, y, tokens, inputs,
                outputs);
  }
}

void Kernels::add(const Stream& stream, const float* a, const float* b, float* y, size_t count) {
  const unsigned blocks = std::min(dividedBy(count, 256), 32 * static_cast<unsigned>(gpu_->multiprocessors()));
  find("add.cu", "add").launch(stream, {blocks}, {256}, 0, a, b, y, static_cast<long long>(count));
}

void Kernels::siluMultiply(const Stream& stream, const float* gate, const float* up, float* y, size_t count) {
  const unsigned blocks = std::min(dividedBy(count, 256), 32 * static_cast<unsigned>(gpu_->multiprocessors()));
  find("silu_multiply.cu", "silu_multiply").launch(stream, {blocks}, {256}, 0, gate, up, y, static_cast<long long>(count));
}

void Kernels::rotaryTable(const Stream& stream, const int32_t* positions, const float* frequencies, float* table, int rows, int half,
                          float scale) {
  find("rotary_table.cu", "rotary_table")
      .launch(stream, {static_cast<unsigned>(rows)}, {threadsFor(half)}, 0, positions, frequencies, table, half, scale);
}

void Kernels::rotate(const Stream& stream, const float* x, const float* table, float* y, int rows, int columns, int headSize) {
  find("rotate.cu", "rotate").launch(stream, {static_cast<unsigned>(rows)}, {threadsFor(columns / 2)}, 0, x, table, y, columns, headSize);
}

void Kernels::cacheStore(const Stream& stream, const float* x, const int32_t* slots, uint8_t* cache, DataType type, int count, int keyHeads,
                         int headSize, int blockTokens, int blocks, bool areKeys, ErrorWord error) {
  const size_t pieces = static_cast<size_t>(count) * static_cast<size_t>(keyHeads);
  find("cache_store.cu", "cache_store", nameOf(type))
      .launch(stream, {dividedBy(pieces, kWarps)}, {32 * kWarps}, 0, x, slots, cache, count, keyHeads, headSize, blockTokens, blocks,
              areKeys ? 1 : 0, error.word, error.operation);
}

size_t Kernels::attentionFloats(const AttentionShape& shape) {
  return static_cast<size_t>(shape.queries) * static_cast<size_t>(shape.heads) * static_cast<size_t>(splitsOf(shape)) *
         (static_cast<size_t>(shape.headSize) + 2);
}

void Kernels::attention(const Stream& stream, const float* query, const uint8_t* keys, const uint8_t* values, DataType type,
                        const int32_t* sequence, const int32_t* begin, const int32_t* end, const int32_t* blockTables,
                        const int32_t* keyHeadOf, float* parts, float* y, const AttentionShape& asked, ErrorWord error) {
  const Shape shape{asked.queries,           asked.heads,     asked.keyHeads, asked.headSize,  asked.blockTokens,
                    asked.blocksPerSequence, asked.sequences, asked.blocks,   splitsOf(asked), asked.scale};
  const auto heads = static_cast<unsigned>(shape.heads), queries = static_cast<unsigned>(shape.queries);
  const size_t sharedBytes = static_cast<size_t>(std::max(shape.headSize, kAttentionThreads)) * sizeof(float);
  find("attention.cu", "attention_part", nameOf(type), sharedBytes)
      .launch(stream, {static_cast<unsigned>(shape.splits), heads, queries}, {kAttentionThreads}, sharedBytes, query, keys, values,
              sequence, begin, end, blockTables, keyHeadOf, parts, shape, error.word, error.operation);
  find("attention.cu", "attention_join", nameOf(type))
      .launch(stream, {heads, queries}, {kAttentionThreads}, 0, parts, begin, end, y, shape);
}

void Kernels::gatherRows(const Stream& stream, const float* x, const int32_t* indices, float* y, int count, int rows, int columns,
                         ErrorWord error) {
  find("gather_rows.cu", "gather_rows")
      .launch(stream, {static_cast<unsigned>(count)}, {threadsFor(columns)}, 0, x, indices, y, rows, columns, error.word, error.operation);
}

void Kernels::scatterRows(const Stream& stream, const void* x, const int32_t* indices, void* table, int count, int rows, int columns,
                          ErrorWord error) {
  find("scatter_rows.cu", "scatter_rows")
      .launch(stream, {static_cast<unsigned>(count)}, {threadsFor(columns)}, 0, x, indices, table, count, rows, columns, error.word,
              error.operation);
}

void Kernels::resolve(const Stream& stream, const int32_t* indices, const int32_t* table, int32_t* y, int count, int rows,
                      ErrorWord error) {
  find("resolve.cu", "resolve")
      .launch(stream, {dividedBy(static_cast<size_t>(count), 256)}, {256}, 0, indices, table, y, count, rows, error.word, error.operation);
}

void Kernels::countTokens(const Stream& stream, const int32_t* tokens, const int32_t* rows, int32_t* counts, int count, int tableRows,
                          int columns, ErrorWord error) {
  find("count_tokens.cu", "count_tokens")
      .launch(stream, {dividedBy(static_cast<size_t>(count), 256)}, {256}, 0, tokens, rows, counts, count, tableRows, columns, error.word,
              error.operation);
}

void Kernels::logProbs(const Stream& stream, const float* logits, const int32_t* tokens, const int32_t* wanted, float* found, int rows,
                       int columns, int foundColumns, ErrorWord error) {
  find("log_probs.cu", "log_probs")
      .launch(stream, {static_cast<unsigned>(rows)}, {256}, 0, logits, tokens, wanted, found, columns, foundColumns, error.word,
              error.operation);
}

}  // namespace troupe::cuda
