#include <algorithm>
#include <stdexcept>

#include "program/array_elements.h"
#include "program/array_operations.h"
#include "program/operations.h"

namespace troupe::program {
namespace {

using kernel::DataType;
using kernel::Function;
using kernel::kernels;

/// Chunks of rows are brought into the type that is computed in, computed, and written in the type of the result.
class ArrayFunction : public Operation {
 public:
  ArrayFunction(const Node& node, Function function) : function_(function), y_(*node.outputs.at(0)) {
    for (const Value* input : node.inputs) inputs_.push_back(*input);
    GeometryReader geometry(node.geometry);
    const auto sizes = geometry.next(static_cast<size_t>(geometry.next()));
    std::vector<Strided> operands;
    for (size_t i = 0; i < inputs_.size(); i++) operands.push_back(geometry.strided(sizes.size()));
    walk_ = Walk(sizes, std::move(operands));
    // What is computed in is a matter of the operands that are values: a condition is none.
    inFloats_ = isFloat(inputs_.back().type);
  }

  void run(const Step& step) override {
    const size_t perRow = (walk_.rowLength() + kChunk - 1) / kChunk;
    const size_t each = std::min(walk_.rowLength(), kChunk);
    step.threads.forEach(walk_.rows() * perRow, grainOf(8 * each), [&](size_t begin, size_t end) {
      for (size_t unit = begin; unit < end; unit++) {
        const size_t row = unit / perRow, from = unit % perRow * kChunk, count = std::min(kChunk, walk_.rowLength() - from);
        if (inFloats_)
          compute<float>(row, from, count, kernels().applyToFloats);
        else
          compute<int64_t>(row, from, count, kernels().applyToIntegers);
      }
    });
  }

 private:
  template <class T>
  using Apply = void (*)(Function, const T*, const T*, const T*, T*, size_t);

  template <class T>
  void compute(size_t row, size_t from, size_t count, Apply<T> apply) {
    T loaded[3][kChunk], result[kChunk];
    const T* operands[3] = {};
    for (size_t i = 0; i < inputs_.size(); i++) {
      const int64_t stride = walk_.stride(i), first = walk_.start(i, row) + static_cast<int64_t>(from) * stride;
      if (std::is_same_v<T, float> && inputs_[i].type == DataType::Float32 && stride == 1) {
        operands[i] = reinterpret_cast<const T*>(inputs_[i].data) + first;
        continue;
      }
      loadElements(inputs_[i].data, inputs_[i].type, first, stride, count, loaded[i]);
      operands[i] = loaded[i];
    }
    const size_t at = row * walk_.rowLength() + from;
    const bool inPlace = std::is_same_v<T, float> && y_.type == DataType::Float32;
    T* y = inPlace ? reinterpret_cast<T*>(y_.data) + at : result;
    apply(function_, operands[0], operands[1], operands[2], y, count);
    if (!inPlace) storeElements(result, y_.type, count, y_.data, at);
  }

  const Function function_;
  const Value y_;
  std::vector<Value> inputs_;
  Walk walk_;
  bool inFloats_;
};

}  // namespace

const FunctionInfo* functionNamed(const std::string& name) {
  static const std::map<std::string, FunctionInfo> functions{
      {"array.copy", {Function::Copy, 1, false, false}},
      {"array.negative", {Function::Negative, 1, false, false}},
      {"array.abs", {Function::Abs, 1, false, false}},
      {"array.sign", {Function::Sign, 1, false, false}},
      {"array.square", {Function::Square, 1, false, false}},
      {"array.sqrt", {Function::Sqrt, 1, true, false}},
      {"array.reciprocal", {Function::Reciprocal, 1, true, false}},
      {"array.exp", {Function::Exp, 1, true, false}},
      {"array.expm1", {Function::Expm1, 1, true, false}},
      {"array.log", {Function::Log, 1, true, false}},
      {"array.log1p", {Function::Log1p, 1, true, false}},
      {"array.log2", {Function::Log2, 1, true, false}},
      {"array.sin", {Function::Sin, 1, true, false}},
      {"array.cos", {Function::Cos, 1, true, false}},
      {"array.tanh", {Function::Tanh, 1, true, false}},
      {"array.floor", {Function::Floor, 1, false, false}},
      {"array.ceil", {Function::Ceil, 1, false, false}},
      {"array.trunc", {Function::Trunc, 1, false, false}},
      {"array.round", {Function::Round, 1, false, false}},
      {"array.logicalNot", {Function::LogicalNot, 1, false, true}},
      {"array.isnan", {Function::IsNan, 1, false, true}},
      {"array.isfinite", {Function::IsFinite, 1, false, true}},
      {"array.add", {Function::Add, 2, false, false}},
      {"array.subtract", {Function::Subtract, 2, false, false}},
      {"array.multiply", {Function::Multiply, 2, false, false}},
      {"array.divide", {Function::Divide, 2, true, false}},
      {"array.floorDivide", {Function::FloorDivide, 2, false, false}},
      {"array.remainder", {Function::Remainder, 2, false, false}},
      {"array.pow", {Function::Pow, 2, false, false}},
      {"array.atan2", {Function::Atan2, 2, true, false}},
      {"array.maximum", {Function::Maximum, 2, false, false}},
      {"array.minimum", {Function::Minimum, 2, false, false}},
      {"array.equal", {Function::Equal, 2, false, true}},
      {"array.notEqual", {Function::NotEqual, 2, false, true}},
      {"array.less", {Function::Less, 2, false, true}},
      {"array.lessEqual", {Function::LessEqual, 2, false, true}},
      {"array.greater", {Function::Greater, 2, false, true}},
      {"array.greaterEqual", {Function::GreaterEqual, 2, false, true}},
      {"array.logicalAnd", {Function::LogicalAnd, 2, false, true}},
      {"array.logicalOr", {Function::LogicalOr, 2, false, true}},
      {"array.logicalXor", {Function::LogicalXor, 2, false, true}},
      {"array.where", {Function::Where, 3, false, false}},
  };
  const auto found = functions.find(name);
  return found == functions.end() ? nullptr : &found->second;
}

std::unique_ptr<Operation> makeElementwise(const Node& node, Function function) { return std::make_unique<ArrayFunction>(node, function); }

}  // namespace troupe::program
