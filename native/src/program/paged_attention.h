#pragma once

#include <cmath>
#include <cstring>
#include <vector>

#include "program/program.h"

namespace troupe::program {

/// Attention over a paged cache, divided over threads: many queries of one sequence go in tiles, few go one by one, and where
/// those are fewer than the threads each one's tokens are divided among them (Flash-Decoding). A query gets the same bits however.
class PagedAttention {
 public:
  /// `shape` has the heads and sizes that every run's operands will have.
  PagedAttention(const kernel::Attention& shape, size_t mostQueries);

  /// Bytes of memory that a run needs for itself.
  size_t scratchBytes(int threads) const;
  void run(const kernel::Attention& op, ThreadPool& threads, uint8_t* scratch);

 private:
  /// A tile of queries [query, end), or the tokens [begin, end) for one query; and a group of heads.
  struct Task {
    bool tile;
    size_t query, group, begin, end;
  };

  size_t threadBytes() const;
  size_t partFloats() const;
  void planTasks(const kernel::Attention& op, int threads);
  void splitQuery(const kernel::Attention& op, size_t query, size_t group, int threads);

  const kernel::Attention shape_;
  const size_t mostQueries_;
  std::vector<kernel::HeadGroup> groups_;
  size_t largestGroup_ = 1, grain_ = 1;
  std::vector<Task> tasks_;
};

/// Joins the attention of one query and head over several sets of tokens: part(i) is the i-th's, weighed by the exponential of
/// sum(i), its log-sum-exp, which is minus infinity for no tokens, and NaN where something was no number, as is all that comes of
/// it. Returns the log-sum-exp of all.
template <class Part, class Sum>
float joinByLogSumExp(size_t parts, size_t headSize, Part&& part, Sum&& sum, float* out) {
  float highest = -HUGE_VALF, total = 0;
  bool isEmpty = true;
  for (size_t i = 0; i < parts; i++) {
    highest = std::max(highest, sum(i));
    isEmpty = isEmpty && sum(i) == -HUGE_VALF;
  }
  std::memset(out, 0, headSize * sizeof(float));
  if (isEmpty) return highest;
  for (size_t i = 0; i < parts; i++) {
    const float weight = std::exp(sum(i) - highest);
    const float* from = part(i);
    for (size_t k = 0; k < headSize; k++) out[k] += weight * from[k];
    total += weight;
  }
  for (size_t k = 0; k < headSize; k++) out[k] /= total;
  return highest + std::log(total);
}

/// The same for every row and head: partials [parts, rows, heads · headSize + heads], each row with its heads' log-sum-exps
/// behind it → out [rows, heads · headSize].
void joinPartials(const float* partials, size_t parts, size_t rows, size_t heads, size_t headSize, float* out, ThreadPool& threads);

/// The operands that an operation's first eight inputs name: query, key cache, value cache, sequence, begin, end, block
/// tables, key head of each head.
kernel::Attention attentionOf(const Node& node);

/// Bytes of queries and of the keys and values that they see, each sequence's once.
size_t attendedBytes(const kernel::Attention& op);

}  // namespace troupe::program
