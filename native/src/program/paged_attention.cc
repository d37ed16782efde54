#include "program/paged_attention.h"

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

/// How many pieces the cache is divided into at most where there are fewer (query, group) pairs than threads.
size_t splitTasks(int threads) { return 4 * static_cast<size_t>(threads); }

}  // namespace

PagedAttention::PagedAttention(const kernel::Attention& shape, size_t mostQueries) : shape_(shape), mostQueries_(mostQueries) {
  for (size_t head = 0; head < shape.heads;) {
    const size_t begin = head;
    while (head < shape.heads && shape.keyHeadOf[head] == shape.keyHeadOf[begin]) head++;
    groups_.push_back({begin, head});
    largestGroup_ = std::max(largestGroup_, head - begin);
  }
}

size_t PagedAttention::threadBytes() const { return aligned(kernels().attentionBytes(shape_)); }

size_t PagedAttention::scratchBytes(int threads) const {
  const size_t parts = mostQueries_ * groups_.size() + splitTasks(threads);
  return static_cast<size_t>(threads) * threadBytes() + parts * largestGroup_ * (shape_.headSize + 1) * sizeof(float);
}

void PagedAttention::run(const kernel::Attention& op, ThreadPool& threads, uint8_t* scratch) {
  planTasks(op, threads.size());
  auto* parts = reinterpret_cast<float*>(scratch + static_cast<size_t>(threads.size()) * threadBytes());
  const size_t stride = op.headSize + 1;
  threads.forEach(tasks_.size(), grain_, [&](size_t begin, size_t end, int thread) {
    uint8_t* own = scratch + static_cast<size_t>(thread) * threadBytes();
    for (size_t i = begin; i < end; i++) {
      const Task& task = tasks_[i];
      if (task.tile)
        kernels().attendTile(op, task.query, task.end, groups_[task.group], own);
      else
        kernels().attendQuery(op, task.query, groups_[task.group], task.begin, task.end, parts + i * largestGroup_ * stride, stride, own);
    }
  });
  for (size_t first = 0; first < tasks_.size();) {
    const Task& task = tasks_[first];
    size_t last = first + 1;
    while (last < tasks_.size() && !tasks_[last].tile && tasks_[last].query == task.query && tasks_[last].group == task.group) last++;
    if (!task.tile) join(op, task, parts + first * largestGroup_ * stride, last - first);
    first = last;
  }
}

void PagedAttention::planTasks(const kernel::Attention& op, int threads) {
  tasks_.clear();
  size_t work = 0;
  const size_t tile = std::max<size_t>(1, kTileRows / largestGroup_);
  for (size_t query = 0; query < op.queries;) {
    size_t end = query + 1;
    while (end < op.queries && op.sequence[end] == op.sequence[query]) end++;
    for (size_t group = 0; group < groups_.size(); group++) {
      if (end - query > kFewQueries) {
        for (size_t first = query; first < end; first += tile) tasks_.push_back({true, first, group, 0, std::min(first + tile, end)});
      } else {
        for (size_t one = query; one < end; one++) splitQuery(op, one, group, threads);
      }
    }
    for (; query < end; query++) work += static_cast<size_t>(op.end[query] - op.begin[query]);
  }
  grain_ = grainOf(4 * work * op.heads * op.headSize / std::max<size_t>(1, tasks_.size()));
}

void PagedAttention::splitQuery(const kernel::Attention& op, size_t query, size_t group, int threads) {
  const auto begin = static_cast<size_t>(op.begin[query]), end = static_cast<size_t>(op.end[query]);
  const size_t tokens = end - begin, pairs = op.queries * groups_.size();
  const size_t wanted = pairs >= 2 * static_cast<size_t>(threads) ? 1 : splitTasks(threads) / pairs;
  const size_t splits = std::max<size_t>(1, std::min(wanted, tokens / kSplitTokens));
  for (size_t i = 0; i < splits; i++)
    tasks_.push_back({false, query, group, begin + tokens * i / splits, begin + tokens * (i + 1) / splits});
}

void PagedAttention::join(const kernel::Attention& op, const Task& task, const float* parts, size_t count) const {
  const HeadGroup group = groups_[task.group];
  const size_t stride = op.headSize + 1, width = op.heads * op.headSize;
  float* row = op.out + task.query * (width + (op.partial ? op.heads : 0));
  for (size_t head = group.begin; head < group.end; head++) {
    const auto part = [&](size_t i) { return parts + (i * largestGroup_ + head - group.begin) * stride; };
    float* out = row + head * op.headSize;
    const float sum = joinByLogSumExp(
        count, op.headSize, part, [&](size_t i) { return part(i)[op.headSize]; }, out);
    if (op.partial) row[width + head] = sum;
  }
}

void joinPartials(const float* partials, size_t parts, size_t rows, size_t heads, size_t headSize, float* out, ThreadPool& threads) {
  const size_t width = heads * headSize, stride = width + heads;
  threads.forEach(rows * heads, grainOf(4 * parts * headSize), [&](size_t begin, size_t end) {
    for (size_t i = begin; i < end; i++) {
      const size_t row = i / heads, head = i % heads;
      const auto part = [&](size_t p) { return partials + (p * rows + row) * stride; };
      joinByLogSumExp(
          parts, headSize, [&](size_t p) { return part(p) + head * headSize; }, [&](size_t p) { return part(p)[width + head]; },
          out + row * width + head * headSize);
    }
  });
}

namespace {

/// Inputs: query, key cache, value cache, sequence, begin, end, block tables, key head of each head.
class Attention : public Operation {
 public:
  explicit Attention(const Node& node) : query_(*node.inputs.at(0)), op_(attentionOf(node)), attention_(op_, query_.rows) {
    op_.out = node.outputs.at(0)->floats();
  }

  size_t scratchBytes(int threads) const override { return attention_.scratchBytes(threads); }

  void run(const Step& step) override {
    op_.queries = step.rows(query_);
    attention_.run(op_, step.threads, step.scratch);
  }

 private:
  const Value query_;
  kernel::Attention op_;
  PagedAttention attention_;
};

}  // namespace

kernel::Attention attentionOf(const Node& node) {
  const auto size = [&](const char* key) { return static_cast<size_t>(node.number(key)); };
  kernel::Attention op{};
  op.query = node.inputs.at(0)->floats();
  op.keys = node.inputs.at(1)->data;
  op.values = node.inputs.at(2)->data;
  op.cacheType = node.inputs[1]->type;
  op.sequence = node.inputs.at(3)->ints();
  op.begin = node.inputs.at(4)->ints();
  op.end = node.inputs.at(5)->ints();
  op.blockTables = node.inputs.at(6)->ints();
  op.keyHeadOf = node.inputs.at(7)->ints();
  op.headSize = size("headSize");
  op.heads = node.inputs[0]->columns / op.headSize;
  op.keyHeads = size("keyHeads");
  op.blockTokens = size("blockTokens");
  op.blocksPerSequence = node.inputs[6]->columns;
  op.scale = static_cast<float>(node.number("scale"));
  return op;
}

std::unique_ptr<Operation> makeAttention(const Node& node) { return std::make_unique<Attention>(node); }

}  // namespace troupe::program
