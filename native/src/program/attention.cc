#include <cmath>
#include <cstring>

#include "program/operations.h"

namespace troupe::program {
namespace {

using kernel::HeadGroup;
using kernel::kernels;

/// Queries of one sequence from which on tiles of them are faster than one after the other.
constexpr size_t kFewQueries = 4;
/// (query, head) pairs of a tile, about as many as the kernel takes at once.
constexpr size_t kTileRows = 64;
/// Tokens of the cache that are worth a thread's while.
constexpr size_t kSplitTokens = 256;

/// Inputs: query, key cache, value cache, sequence, begin, end, block tables, key head of each head.
class Attention : public Operation {
 public:
  explicit Attention(const Node& node) : query_(*node.inputs.at(0)) {
    const auto size = [&](const char* key) { return static_cast<size_t>(node.number(key)); };
    op_.query = query_.floats();
    op_.keys = node.inputs.at(1)->floats();
    op_.values = node.inputs.at(2)->floats();
    op_.sequence = node.inputs.at(3)->ints();
    op_.begin = node.inputs.at(4)->ints();
    op_.end = node.inputs.at(5)->ints();
    op_.blockTables = node.inputs.at(6)->ints();
    op_.keyHeadOf = node.inputs.at(7)->ints();
    op_.out = node.outputs.at(0)->floats();
    op_.headSize = size("headSize");
    op_.heads = query_.columns / op_.headSize;
    op_.keyHeads = size("keyHeads");
    op_.blockTokens = size("blockTokens");
    op_.blocksPerSequence = node.inputs[6]->columns;
    op_.scale = static_cast<float>(node.number("scale"));
    op_.partial = node.number("partial") != 0;
    for (size_t head = 0; head < op_.heads;) {
      const size_t begin = head;
      while (head < op_.heads && op_.keyHeadOf[head] == op_.keyHeadOf[begin]) head++;
      groups_.push_back({begin, head});
      largestGroup_ = std::max(largestGroup_, head - begin);
    }
    tasks_.reserve(query_.rows * groups_.size());
  }

  size_t scratchBytes(int threads) const override {
    const auto all = static_cast<size_t>(threads);
    return all * threadBytes() + (query_.rows * groups_.size() + splitTasks(threads)) * largestGroup_ * (op_.headSize + 1) * sizeof(float);
  }

  void run(const Step& step) override {
    op_.queries = step.rows(query_);
    planTasks(step.threads.size());
    auto* parts = reinterpret_cast<float*>(step.scratch + static_cast<size_t>(step.threads.size()) * threadBytes());
    const size_t stride = op_.headSize + 1;
    step.threads.forEach(tasks_.size(), grain_, [&](size_t begin, size_t end, int thread) {
      uint8_t* own = step.scratch + static_cast<size_t>(thread) * threadBytes();
      for (size_t i = begin; i < end; i++) {
        const Task& task = tasks_[i];
        if (task.tile) kernels().attendTile(op_, task.query, task.end, groups_[task.group], own);
        else kernels().attendQuery(op_, task.query, groups_[task.group], task.begin, task.end, parts + i * largestGroup_ * stride, stride, own);
      }
    });
    for (size_t first = 0; first < tasks_.size();) {
      const Task& task = tasks_[first];
      size_t last = first + 1;
      while (last < tasks_.size() && !tasks_[last].tile && tasks_[last].query == task.query && tasks_[last].group == task.group) last++;
      if (!task.tile) join(task, parts + first * largestGroup_ * stride, last - first);
      first = last;
    }
  }

 private:
  /// A tile of queries [query, end), or the tokens [begin, end) for one query; and a group of heads.
  struct Task {
    bool tile;
    size_t query, group, begin, end;
  };

  size_t threadBytes() const { return aligned(kernels().attentionBytes(op_)); }

  /// How many pieces the cache is divided into at most where there are fewer (query, group) pairs than threads.
  static size_t splitTasks(int threads) { return 4 * static_cast<size_t>(threads); }

  void planTasks(int threads) {
    tasks_.clear();
    size_t work = 0;
    const size_t tile = std::max<size_t>(1, kTileRows / largestGroup_);
    for (size_t query = 0; query < op_.queries;) {
      size_t end = query + 1;
      while (end < op_.queries && op_.sequence[end] == op_.sequence[query]) end++;
      for (size_t group = 0; group < groups_.size(); group++) {
        if (end - query > kFewQueries) {
          for (size_t first = query; first < end; first += tile) tasks_.push_back({true, first, group, 0, std::min(first + tile, end)});
        } else {
          for (size_t one = query; one < end; one++) splitQuery(one, group, threads);
        }
      }
      for (; query < end; query++) work += static_cast<size_t>(op_.end[query] - op_.begin[query]);
    }
    grain_ = grainOf(4 * work * op_.heads * op_.headSize / std::max<size_t>(1, tasks_.size()));
  }

  void splitQuery(size_t query, size_t group, int threads) {
    const auto begin = static_cast<size_t>(op_.begin[query]), end = static_cast<size_t>(op_.end[query]);
    const size_t tokens = end - begin, pairs = op_.queries * groups_.size();
    const size_t wanted = pairs >= 2 * static_cast<size_t>(threads) ? 1 : splitTasks(threads) / pairs;
    const size_t splits = std::max<size_t>(1, std::min(wanted, tokens / kSplitTokens));
    for (size_t i = 0; i < splits; i++) tasks_.push_back({false, query, group, begin + tokens * i / splits, begin + tokens * (i + 1) / splits});
  }

  /// Weighs the parts of a query's tokens by the exponentials of their log-sum-exps (Flash-Decoding).
  void join(const Task& task, const float* parts, size_t count) {
    const HeadGroup group = groups_[task.group];
    const size_t stride = op_.headSize + 1, width = op_.heads * op_.headSize;
    float* row = op_.out + task.query * (width + (op_.partial ? op_.heads : 0));
    for (size_t head = group.begin; head < group.end; head++) {
      const auto part = [&](size_t i) { return parts + (i * largestGroup_ + head - group.begin) * stride; };
      float* out = row + head * op_.headSize;
      float highest = -HUGE_VALF, total = 0;
      for (size_t i = 0; i < count; i++) highest = std::max(highest, part(i)[op_.headSize]);
      std::memset(out, 0, op_.headSize * sizeof(float));
      for (size_t i = 0; i < count && highest > -HUGE_VALF; i++) {
        const float weight = std::exp(part(i)[op_.headSize] - highest);
        for (size_t k = 0; k < op_.headSize; k++) out[k] += weight * part(i)[k];
        total += weight;
      }
      for (size_t k = 0; k < op_.headSize && total > 0; k++) out[k] /= total;
      if (op_.partial) row[width + head] = total > 0 ? highest + std::log(total) : -HUGE_VALF;
    }
  }

  const Value query_;
  kernel::Attention op_{};
  std::vector<HeadGroup> groups_;
  size_t largestGroup_ = 1, grain_ = 1;
  std::vector<Task> tasks_;
};

}  // namespace

std::unique_ptr<Operation> makeAttention(const Node& node) { return std::make_unique<Attention>(node); }

}  // namespace troupe::program
