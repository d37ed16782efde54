#include <cmath>
#include <cstring>
#include <stdexcept>

#include "collective/collectives.h"
#include "program/array_operations.h"
#include "program/operations.h"

namespace troupe::program {
namespace {

using collective::Communicator;
using kernel::kernels;

/// Rows of `table` by token; a token outside the shard's [start, start + rows) gives zeros.
class Embedding : public Operation {
 public:
  explicit Embedding(const Node& node)
      : tokens_(*node.inputs.at(0)), table_(*node.inputs.at(1)), out_(*node.outputs.at(0)),
        start_(static_cast<int64_t>(node.number("start"))) {}

  void run(const Step& step) override {
    const size_t bytes = kernel::rowBytes(table_.type, table_.columns);
    for (size_t i = 0; i < step.rows(tokens_); i++) {
      float* row = out_.floats() + i * out_.columns;
      const int64_t index = tokens_.ints()[i] - start_;
      if (index < 0 || index >= static_cast<int64_t>(table_.rows)) {
        std::memset(row, 0, out_.columns * sizeof(float));
        continue;
      }
      const uint8_t* stored = table_.data + static_cast<size_t>(index) * bytes;
      if (table_.isPacked) {
        kernels().unpackRow(table_.data, table_.type, static_cast<size_t>(index), table_.columns, step.scratch);
        stored = step.scratch;
      }
      kernels().toFloat(stored, table_.type, row, out_.columns);
    }
  }

  size_t scratchBytes(int /*threads*/) const override { return table_.isPacked ? kernel::rowBytes(table_.type, table_.columns) : 0; }

  std::optional<size_t> partBytes(const Step& step) const override {
    return step.rows(tokens_) * kernel::rowBytes(table_.type, table_.columns);
  }

 private:
  const Value tokens_, table_, out_;
  const int64_t start_;
};

/// Each run of as many columns as the weight has is normalized on its own: whole rows, or the heads of a row.
class RmsNorm : public Operation {
 public:
  explicit RmsNorm(const Node& node)
      : x_(*node.inputs.at(0)), weight_(*node.inputs.at(1)), y_(*node.outputs.at(0)), epsilon_(static_cast<float>(node.number("epsilon"))) {
  }

  void run(const Step& step) override {
    const size_t size = weight_.columns;
    step.threads.forEach(step.rows(x_) * (x_.columns / size), grainOf(4 * size), [&](size_t begin, size_t end) {
      kernels().rmsNorm(x_.floats() + begin * size, weight_.floats(), y_.floats() + begin * size, end - begin, size, epsilon_);
    });
  }

 private:
  const Value x_, weight_, y_;
  const float epsilon_;
};

/// Two inputs of one shape, element by element.
class Elementwise : public Operation {
 public:
  using Kernel = void (*)(const float*, const float*, float*, size_t);
  Elementwise(const Node& node, Kernel kernel) : a_(*node.inputs.at(0)), b_(*node.inputs.at(1)), y_(*node.outputs.at(0)), kernel_(kernel) {}

  void run(const Step& step) override {
    step.threads.forEach(step.rows(a_) * a_.columns, kGrainFlops / 4, [&](size_t begin, size_t end) {
      kernel_(a_.floats() + begin, b_.floats() + begin, y_.floats() + begin, end - begin);
    });
  }

 private:
  const Value a_, b_, y_;
  const Kernel kernel_;
};

/// Cosines and sines of position · frequency, in float32 as Hugging Binding transformers computes them.
class RotaryTable : public Operation {
 public:
  explicit RotaryTable(const Node& node)
      : positions_(*node.inputs.at(0)), frequencies_(*node.inputs.at(1)), table_(*node.outputs.at(0)),
        scale_(static_cast<float>(node.number("scale"))) {}

  void run(const Step& step) override {
    const size_t half = frequencies_.columns;
    for (size_t row = 0; row < step.rows(positions_); row++) {
      float* table = table_.floats() + row * table_.columns;
      for (size_t i = 0; i < half; i++) {
        const float angle = static_cast<float>(positions_.ints()[row]) * frequencies_.floats()[i];
        table[i] = std::cos(angle) * scale_;
        table[half + i] = std::sin(angle) * scale_;
      }
    }
  }

 private:
  const Value positions_, frequencies_, table_;
  const float scale_;
};

class Rotate : public Operation {
 public:
  explicit Rotate(const Node& node) : x_(*node.inputs.at(0)), table_(*node.inputs.at(1)), y_(*node.outputs.at(0)) {}

  void run(const Step& step) override {
    const size_t headSize = table_.columns;
    step.threads.forEach(step.rows(x_), grainOf(6 * x_.columns), [&](size_t begin, size_t end) {
      kernels().rotate(x_.floats() + begin * x_.columns, table_.floats() + begin * headSize, y_.floats() + begin * x_.columns, end - begin,
                       x_.columns / headSize, headSize);
    });
  }

 private:
  const Value x_, table_, y_;
};

/// Writes each row's heads into a cache of keys or of values, at the token slot that `slots` names.
class CacheStore : public Operation {
 public:
  explicit CacheStore(const Node& node) : x_(*node.inputs.at(0)) {
    const auto size = [&](const char* key) { return static_cast<size_t>(node.number(key)); };
    const Value& cache = *node.inputs.at(2);
    op_ = {x_.floats(),      node.inputs.at(1)->ints(), cache.data,          cache.type,
           size("keyHeads"), size("headSize"),          size("blockTokens"), node.number("areKeys") != 0};
  }

  void run(const Step& step) override {
    step.threads.forEach(step.rows(x_), grainOf(4 * x_.columns),
                         [&](size_t begin, size_t end) { kernels().storeInCache(op_, begin, end); });
  }

 private:
  const Value x_;
  kernel::CacheStore op_;
};

/// Rows of `x` by index.
class GatherRows : public Operation {
 public:
  explicit GatherRows(const Node& node) : x_(*node.inputs.at(0)), indices_(*node.inputs.at(1)), y_(*node.outputs.at(0)) {}

  void run(const Step& step) override {
    for (size_t i = 0; i < step.rows(indices_); i++) {
      std::memcpy(y_.floats() + i * x_.columns, x_.floats() + static_cast<size_t>(indices_.ints()[i]) * x_.columns,
                  x_.columns * sizeof(float));
    }
  }

 private:
  const Value x_, indices_, y_;
};

/// table[indices[i]] = x[i], for the indices that are not negative.
class ScatterRows : public Operation {
 public:
  explicit ScatterRows(const Node& node) : x_(*node.inputs.at(0)), indices_(*node.inputs.at(1)), table_(*node.inputs.at(2)) {}

  void run(const Step& step) override {
    const size_t bytes = x_.columns * sizeof(float);
    for (size_t i = 0; i < step.rows(x_); i++) {
      const int32_t row = indices_.ints()[i];
      if (row >= 0) std::memmove(table_.data + static_cast<size_t>(row) * bytes, x_.data + i * bytes, bytes);
    }
  }

 private:
  const Value x_, indices_, table_;
};

/// Indices as they are, or what the table has for them: -1 stands for its first entry, -2 for its second.
class Resolve : public Operation {
 public:
  explicit Resolve(const Node& node) : indices_(*node.inputs.at(0)), table_(*node.inputs.at(1)), y_(*node.outputs.at(0)) {}

  void run(const Step& step) override {
    for (size_t i = 0; i < step.rows(indices_); i++) {
      const int32_t index = indices_.ints()[i];
      y_.ints()[i] = index >= 0 ? index : table_.ints()[-1 - index];
    }
  }

 private:
  const Value indices_, table_, y_;
};

/// Stacks the ranks' rows; rank r has counts[r] of them.
class AllGatherRows : public Operation {
 public:
  explicit AllGatherRows(const Node& node)
      : x_(*node.inputs.at(0)), counts_(*node.inputs.at(1)), y_(*node.outputs.at(0)), group_(*node.group),
        bytes_(static_cast<size_t>(group_.size())) {}

  void run(const Step&) override {
    for (size_t rank = 0; rank < bytes_.size(); rank++)
      bytes_[rank] = static_cast<size_t>(counts_.ints()[rank]) * x_.columns * sizeof(float);
    collective::allGather(group_, x_.data, bytes_.data(), y_.data);
  }

 private:
  const Value x_, counts_, y_;
  Communicator& group_;
  std::vector<size_t> bytes_;
};

/// Joins the ranks' columns; `widths` holds how many each has.
class AllGatherColumns : public Operation {
 public:
  explicit AllGatherColumns(const Node& node)
      : x_(*node.inputs.at(0)), widths_(*node.inputs.at(1)), y_(*node.outputs.at(0)), group_(*node.group),
        bytes_(static_cast<size_t>(group_.size())) {}

  void run(const Step& step) override {
    const size_t rows = step.rows(x_);
    if (rows == 0) return;
    for (size_t rank = 0; rank < bytes_.size(); rank++) bytes_[rank] = rows * static_cast<size_t>(widths_.ints()[rank]) * sizeof(float);
    if (rows == 1) return collective::allGather(group_, x_.data, bytes_.data(), y_.data);

    gathered_.resize(rows * y_.columns);
    collective::allGather(group_, x_.data, bytes_.data(), reinterpret_cast<uint8_t*>(gathered_.data()));
    const float* from = gathered_.data();
    size_t column = 0;
    for (size_t rank = 0; rank < bytes_.size(); rank++) {
      const auto width = static_cast<size_t>(widths_.ints()[rank]);
      for (size_t row = 0; row < rows; row++, from += width)
        std::memcpy(y_.floats() + row * y_.columns + column, from, width * sizeof(float));
      column += width;
    }
  }

 private:
  const Value x_, widths_, y_;
  Communicator& group_;
  std::vector<size_t> bytes_;
  std::vector<float> gathered_;
};

class Send : public Operation {
 public:
  explicit Send(const Node& node) : x_(*node.inputs.at(0)), group_(*node.group), to_(static_cast<int>(node.number("to"))) {}

  void run(const Step& step) override {
    const size_t bytes = step.rows(x_) * x_.columns * sizeof(float);
    if (bytes > 0) collective::send(group_, to_, x_.data, bytes);
  }

 private:
  const Value x_;
  Communicator& group_;
  const int to_;
};

class Receive : public Operation {
 public:
  explicit Receive(const Node& node) : y_(*node.outputs.at(0)), group_(*node.group), from_(static_cast<int>(node.number("from"))) {}

  void run(const Step& step) override {
    const size_t bytes = step.rows(y_) * y_.columns * sizeof(float);
    if (bytes > 0) collective::receive(group_, from_, y_.data, bytes);
  }

 private:
  const Value y_;
  Communicator& group_;
  const int from_;
};

/// Several messages, stacked; message i has counts[i] rows.
class ReceiveParts : public Operation {
 public:
  explicit ReceiveParts(const Node& node)
      : counts_(*node.inputs.at(0)), y_(*node.outputs.at(0)), group_(*node.group), from_(static_cast<int>(node.number("from"))) {}

  void run(const Step& step) override {
    const size_t rowBytes = y_.columns * sizeof(float);
    size_t row = 0;
    for (size_t i = 0; i < step.rows(counts_); i++) {
      const auto count = static_cast<size_t>(counts_.ints()[i]);
      if (count > 0) collective::receive(group_, from_, y_.data + row * rowBytes, count * rowBytes);
      row += count;
    }
  }

 private:
  const Value counts_, y_;
  Communicator& group_;
  const int from_;
};

using Factory = std::unique_ptr<Operation> (*)(const Node&);

template <class Kind>
std::unique_ptr<Operation> make(const Node& node) {
  return std::make_unique<Kind>(node);
}

const std::map<std::string, Factory> kCpuOperations = {
    {"embedding", make<Embedding>},
    {"rmsNorm", make<RmsNorm>},
    {"linear", makeLinear},
    {"add", [](const Node& node) -> std::unique_ptr<Operation> { return std::make_unique<Elementwise>(node, kernels().add); }},
    {"siluMultiply",
     [](const Node& node) -> std::unique_ptr<Operation> { return std::make_unique<Elementwise>(node, kernels().siluMultiply); }},
    {"rotaryTable", make<RotaryTable>},
    {"rotate", make<Rotate>},
    {"cacheStore", make<CacheStore>},
    {"attention", makeAttention},
    {"gatherRows", make<GatherRows>},
    {"scatterRows", make<ScatterRows>},
    {"resolve", make<Resolve>},
    {"sample", makeSample},
    {"sampleAdjusted", makeSample},
    {"countTokens", makeCountTokens},
    {"logProbs", makeLogProbs},
    {"allReduce", makeAllReduce},
    {"allGatherRows", make<AllGatherRows>},
    {"allGatherColumns", make<AllGatherColumns>},
    {"gatherSpans", makeGatherSpans},
    {"sequenceAttention", makeSequenceAttention},
    {"send", make<Send>},
    {"receive", make<Receive>},
    {"receiveParts", make<ReceiveParts>},
};

}  // namespace

std::unique_ptr<Operation> makeOperation(Device, const Node& node) {
  if (isArrayOperation(node.name)) return makeArrayOperation(node);
  const auto found = kCpuOperations.find(node.name);
  if (found == kCpuOperations.end()) throw std::invalid_argument("no operation is called " + node.name + " on the CPU");
  return found->second(node);
}

}  // namespace troupe::program
