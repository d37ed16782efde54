#include <algorithm>
#include <cstring>

#include "program/array_elements.h"
#include "program/array_operations.h"
#include "program/operations.h"

namespace troupe::program {
namespace {

/// Sizes of the three dimensions of which the middle one is indexed, and bytes of an element.
struct Middle {
  size_t outer, middle, inner;

  explicit Middle(const Node& node)
      : outer(static_cast<size_t>(node.geometry.at(0))), middle(static_cast<size_t>(node.geometry.at(1))),
        inner(static_cast<size_t>(node.geometry.at(2))) {}

  /// The place that an index names; negative ones count from the end.
  size_t placeOf(int32_t index) const { return static_cast<size_t>(index < 0 ? index + static_cast<int64_t>(middle) : index); }
};

/// y[o, i, :] = x[o, indices[i], :]
class Take : public Operation {
 public:
  explicit Take(const Node& node) : x_(*node.inputs.at(0)), indices_(*node.inputs.at(1)), y_(*node.outputs.at(0)), sizes_(node) {}

  void run(const Step& step) override {
    const size_t bytes = sizes_.inner * kernel::rowBytes(x_.type, 1), count = indices_.rows;
    step.threads.forEach(sizes_.outer * count, grainOf(1 + bytes / 4), [&](size_t begin, size_t end) {
      for (size_t at = begin; at < end; at++) {
        const size_t from = at / count * sizes_.middle + sizes_.placeOf(indices_.ints()[at % count]);
        std::memcpy(y_.data + at * bytes, x_.data + from * bytes, bytes);
      }
    });
  }

 private:
  const Value x_, indices_, y_;
  const Middle sizes_;
};

/// y = x, and y[o, indices[i], :] += values[o, i, :], one after the other where indices are equal.
class IndexAdd : public Operation {
 public:
  explicit IndexAdd(const Node& node)
      : x_(*node.inputs.at(0)), indices_(*node.inputs.at(1)), values_(*node.inputs.at(2)), y_(*node.outputs.at(0)), sizes_(node) {}

  void run(const Step& step) override {
    std::memmove(y_.data, x_.data, x_.bytes());
    step.threads.forEach(sizes_.outer, grainOf(indices_.rows * sizes_.inner), [&](size_t begin, size_t end) {
      for (size_t outer = begin; outer < end; outer++) {
        for (size_t i = 0; i < indices_.rows; i++) {
          const size_t to = (outer * sizes_.middle + sizes_.placeOf(indices_.ints()[i])) * sizes_.inner;
          const size_t from = (outer * indices_.rows + i) * sizes_.inner;
          if (isFloat(y_.type))
            add<float>(from, to);
          else
            add<int64_t>(from, to);
        }
      }
    });
  }

 private:
  template <class T>
  void add(size_t from, size_t to) {
    T sum[kChunk], added[kChunk];
    for (size_t done = 0; done < sizes_.inner; done += kChunk) {
      const size_t length = std::min(kChunk, sizes_.inner - done);
      loadElements(y_.data, y_.type, static_cast<int64_t>(to + done), 1, length, sum);
      loadElements(values_.data, values_.type, static_cast<int64_t>(from + done), 1, length, added);
      apply(sum, added, length);
      storeElements(sum, y_.type, length, y_.data, to + done);
    }
  }
  static void apply(float* sum, const float* added, size_t length) {
    kernel::kernels().applyToFloats(kernel::Function::Add, sum, added, nullptr, sum, length);
  }
  static void apply(int64_t* sum, const int64_t* added, size_t length) {
    kernel::kernels().applyToIntegers(kernel::Function::Add, sum, added, nullptr, sum, length);
  }

  const Value x_, indices_, values_, y_;
  const Middle sizes_;
};

/// target = x
class Assign : public Operation {
 public:
  explicit Assign(const Node& node) : x_(*node.inputs.at(0)), target_(*node.inputs.at(1)) {}

  void run(const Step& step) override {
    const size_t bytes = kernel::rowBytes(x_.type, 1);
    step.threads.forEach(x_.rows, kGrainFlops, [&](size_t begin, size_t end) {
      std::memmove(target_.data + begin * bytes, x_.data + begin * bytes, (end - begin) * bytes);
    });
  }

 private:
  const Value x_, target_;
};

/// The inputs side by side, along the middle of three dimensions.
class Concat : public Operation {
 public:
  explicit Concat(const Node& node) : y_(*node.outputs.at(0)), outer_(static_cast<size_t>(node.geometry.at(0))) {
    const size_t element = kernel::rowBytes(y_.type, 1);
    for (size_t i = 0; i < node.inputs.size(); i++) {
      parts_.push_back({node.inputs[i]->data, static_cast<size_t>(node.geometry.at(1 + i)) * element, rowBytes_});
      rowBytes_ += parts_.back().bytes;
    }
  }

  void run(const Step& step) override {
    step.threads.forEach(outer_, grainOf(1 + rowBytes_ / 4), [&](size_t begin, size_t end) {
      for (size_t row = begin; row < end; row++) {
        for (const auto& part : parts_) std::memcpy(y_.data + row * rowBytes_ + part.at, part.data + row * part.bytes, part.bytes);
      }
    });
  }

 private:
  struct Part {
    const uint8_t* data;
    size_t bytes, at;
  };

  const Value y_;
  const size_t outer_;
  size_t rowBytes_ = 0;
  std::vector<Part> parts_;
};

}  // namespace

std::unique_ptr<Operation> makeArrayMove(const Node& node) {
  if (node.name == "array.take") return std::make_unique<Take>(node);
  if (node.name == "array.indexAdd") return std::make_unique<IndexAdd>(node);
  if (node.name == "array.assign") return std::make_unique<Assign>(node);
  return std::make_unique<Concat>(node);
}

}  // namespace troupe::program
