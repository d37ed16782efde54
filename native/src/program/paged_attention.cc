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

/// The (query, group) pairs below which the tokens of each are divided among threads.
size_t fewPairs(int threads) { return 2 * static_cast<size_t>(threads); }

/// Up to where queries [first, end) see tokens between which there are none that none of them sees: the tables may name any
/// block for those.
size_t endOfTile(const kernel::Attention& op, size_t first, size_t end) {
  int32_t from = 0, to = 0;
  for (size_t query = first; query < end; query++) {
    const int32_t begin = op.begin[query], last = op.end[query];
    if (begin >= last) continue;
    if (from == to)
      from = begin;
    else if (last < from || begin > to)
      return query;
    from = std::min(from, begin);
    to = std::max(to, last);
  }
  return end;
}

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

size_t PagedAttention::partFloats() const { return largestGroup_ * kernels().partStride(shape_.headSize); }

size_t PagedAttention::scratchBytes(int threads) const {
  const size_t splits = shape_.blocksPerSequence * shape_.blockTokens / kernels().splitTokens + 2;
  const size_t parts = mostQueries_ * groups_.size() + fewPairs(threads) * splits;
  return static_cast<size_t>(threads) * threadBytes() + parts * partFloats() * sizeof(float);
}

void PagedAttention::run(const kernel::Attention& op, ThreadPool& threads, uint8_t* scratch) {
  planTasks(op, threads.size());
  auto* parts = reinterpret_cast<float*>(scratch + static_cast<size_t>(threads.size()) * threadBytes());
  threads.forEach(tasks_.size(), grain_, [&](size_t begin, size_t end, int thread) {
    uint8_t* own = scratch + static_cast<size_t>(thread) * threadBytes();
    for (size_t i = begin; i < end; i++) {
      const Task& task = tasks_[i];
      if (task.tile)
        kernels().attendTile(op, task.query, task.end, groups_[task.group], own);
      else
        kernels().attendQuery(op, task.query, groups_[task.group], task.begin, task.end, parts + i * partFloats(), own);
    }
  });
  for (size_t first = 0; first < tasks_.size();) {
    const Task& task = tasks_[first];
    size_t last = first + 1;
    while (last < tasks_.size() && !tasks_[last].tile && tasks_[last].query == task.query && tasks_[last].group == task.group) last++;
    if (!task.tile) kernels().joinQuery(op, task.query, groups_[task.group], parts + first * partFloats(), last - first, partFloats());
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
        for (size_t first = query, last; first < end; first = last) {
          last = endOfTile(op, first, std::min(first + tile, end));
          tasks_.push_back({true, first, group, 0, last});
        }
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
  const size_t split = op.queries * groups_.size() < fewPairs(threads) ? kernels().splitTokens : std::max<size_t>(1, end);
  size_t token = begin;
  do {
    const size_t next = std::min(end, (token / split + 1) * split);
    tasks_.push_back({false, query, group, token, next});
    token = next;
  } while (token < end);
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

  std::optional<size_t> partBytes(const Step& /*step*/) const override { return attendedBytes(op_); }

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

size_t attendedBytes(const kernel::Attention& op) {
  size_t tokens = 0;
  for (size_t query = 0; query < op.queries;) {
    const int32_t sequence = op.sequence[query];
    int32_t begin = op.begin[query], end = op.end[query];
    for (; query < op.queries && op.sequence[query] == sequence; query++) {
      begin = std::min(begin, op.begin[query]);
      end = std::max(end, op.end[query]);
    }
    tokens += static_cast<size_t>(std::max(0, end - begin));
  }
  return op.queries * op.heads * op.headSize * sizeof(float) + tokens * 2 * op.keyHeads * kernel::cachedBytes(op.cacheType, op.headSize);
}

std::unique_ptr<Operation> makeAttention(const Node& node) { return std::make_unique<Attention>(node); }

}  // namespace troupe::program
