#include <stdexcept>

#include "program/array_elements.h"
#include "program/array_operations.h"

namespace troupe::program {
namespace {

using kernel::DataType;

constexpr size_t kMostDimensions = 16;
constexpr int64_t kMostElements = INT32_MAX;

/// The operands and the geometry of one operation, as its schema takes them.
class Arrays {
 public:
  explicit Arrays(const Node& node) : node_(node), geometry_(node.geometry) {}

  [[noreturn]] void fail(const std::string& what, const std::string& expected, const std::string& found) const {
    throw std::invalid_argument(node_.name + ": " + what + ": expected " + expected + ", found " + found);
  }
  void expect(bool holds, const std::string& what, const std::string& expected, const std::string& found) const {
    if (!holds) fail(what, expected, found);
  }

  void count(size_t inputs, size_t outputs = 1) const {
    expect(node_.inputs.size() == inputs, "inputs", std::to_string(inputs), std::to_string(node_.inputs.size()));
    expect(node_.outputs.size() == outputs, "outputs", std::to_string(outputs), std::to_string(node_.outputs.size()));
    for (size_t i = 0; i < inputs; i++) array(input(i), nameOf(i));
    for (size_t i = 0; i < outputs; i++) array(output(), "result");
  }

  const Value& input(size_t index) const { return *node_.inputs[index]; }
  const Value& output() const { return *node_.outputs[0]; }
  static std::string nameOf(size_t index) { return "operand " + std::to_string(index); }

  void sameType(const Value& value, const Value& other, const std::string& name) const {
    expect(value.type == other.type, name, "the type of the others", "another");
  }
  void elements(const Value& value, size_t count, const std::string& name) const {
    expect(value.rows == count, name, std::to_string(count) + " elements", std::to_string(value.rows));
  }

  /// Sizes of a shape that has been announced by its rank; of no more elements than there can be.
  std::vector<int64_t> sizes() {
    const int64_t rank = geometry_.next();
    expect(rank >= 0 && rank <= static_cast<int64_t>(kMostDimensions), "dimensions", "0 to " + std::to_string(kMostDimensions),
           std::to_string(rank));
    auto found = geometry_.next(static_cast<size_t>(rank));
    product(found);
    return found;
  }
  int64_t size(const std::string& name) {
    const int64_t found = geometry_.next();
    expect(found >= 0 && found <= kMostElements, name, "a size from 0 to " + std::to_string(kMostElements), std::to_string(found));
    return found;
  }
  /// The product of sizes, each of which and all of which together are within bounds.
  int64_t product(const std::vector<int64_t>& sizes) const {
    int64_t elements = 1, positive = 1;
    for (const int64_t size : sizes) {
      expect(size >= 0 && size <= kMostElements, "a size", "0 to " + std::to_string(kMostElements), std::to_string(size));
      elements *= size;
      positive *= size == 0 ? 1 : size;
      expect(positive <= kMostElements, "a shape", "at most " + std::to_string(kMostElements) + " elements", "more");
    }
    return elements;
  }
  /// An operand's way through `sizes`, within its elements, `each` of which stand for one.
  void strided(const Value& value, const std::vector<int64_t>& sizes, size_t each, const std::string& name) {
    within(value, sizes, geometry_.strided(sizes.size()), each, name);
  }
  void within(const Value& value, const std::vector<int64_t>& sizes, const Strided& operand, size_t each, const std::string& name) const {
    for (const int64_t stride : operand.strides)
      expect(stride >= -kMostElements && stride <= kMostElements, name, "strides of at most " + std::to_string(kMostElements), "more");
    if (countOf(sizes) == 0 || each == 0) return;
    const auto [least, most] = spanOf(sizes, operand);
    expect(least >= 0 && most < static_cast<int64_t>(value.rows / each), name,
           "a way within its " + std::to_string(value.rows) + " elements",
           "one from " + std::to_string(least) + " to " + std::to_string(most));
  }
  GeometryReader& geometry() { return geometry_; }
  void end() const { expect(geometry_.isWhole(), "geometry", "as many numbers as its shapes take", std::to_string(node_.geometry.size())); }

 private:
  void array(const Value& value, const std::string& name) const {
    expect(!kernel::isQuantized(value.type) && !value.isPacked, name, "numbers that are not quantized", "blocks");
    expect(value.symbol == Value::kFixed && value.columns == 1, name, "a fixed number of rows of one element", "another matrix");
  }

  const Node& node_;
  GeometryReader geometry_;
};

void elementwise(Arrays arrays, const FunctionInfo& info) {
  arrays.count(info.operands);
  const Value &first = arrays.input(info.operands - 1), &result = arrays.output();
  const bool isWhere = info.operands == 3;
  for (size_t i = isWhere ? 1 : 0; i < info.operands; i++) arrays.sameType(arrays.input(i), first, Arrays::nameOf(i));
  if (isWhere) arrays.expect(arrays.input(0).type == DataType::Bool, "condition", "bool", "another type");
  arrays.expect(!info.floatsOnly || isFloat(first.type), "operands", "floats", "integers");
  const bool isCopy = info.function == kernel::Function::Copy;
  if (!isCopy) arrays.expect(result.type == (info.givesBool ? DataType::Bool : first.type), "result", "the function's type", "another");
  const auto sizes = arrays.sizes();
  for (size_t i = 0; i < info.operands; i++) arrays.strided(arrays.input(i), sizes, 1, Arrays::nameOf(i));
  arrays.elements(result, countOf(sizes), "result");
  arrays.end();
}

void reduction(Arrays arrays, const std::string& name) {
  arrays.count(1);
  const Value &x = arrays.input(0), &result = arrays.output();
  const auto kept = arrays.sizes(), reduced = arrays.sizes();
  auto all = kept;
  all.insert(all.end(), reduced.begin(), reduced.end());
  arrays.product(all);
  arrays.strided(x, all, 1, "operand");
  arrays.elements(result, countOf(kept), "result");
  const bool adds = name == "array.sum" || name == "array.prod", finds = name == "array.argmax" || name == "array.argmin";
  if (!adds) arrays.expect(countOf(reduced) > 0 || countOf(kept) == 0, "operand", "at least one element to reduce", "none");
  if (name == "array.mean") arrays.expect(isFloat(x.type), "operand", "floats", "integers");
  const auto expected = finds ? DataType::Int32 : adds && !isFloat(x.type) ? DataType::Int64 : x.type;
  arrays.expect(result.type == expected, "result", "the reduction's type", "another");
  arrays.end();
}

void matmul(Arrays arrays) {
  arrays.count(2);
  const Value &a = arrays.input(0), &b = arrays.input(1), &result = arrays.output();
  arrays.sameType(a, b, "operands");
  arrays.sameType(result, a, "result");
  arrays.expect(a.type != DataType::Bool, "operands", "numbers", "bools");
  const int64_t m = arrays.size("rows"), k = arrays.size("inner size"), n = arrays.size("columns");
  const auto sizes = arrays.sizes();
  const int64_t count = arrays.product(sizes);
  arrays.product({count, m, n});
  arrays.strided(a, sizes, static_cast<size_t>(arrays.product({m, k})), "operand 0");
  arrays.strided(b, sizes, static_cast<size_t>(arrays.product({k, n})), "operand 1");
  arrays.elements(result, static_cast<size_t>(count * m * n), "result");
  arrays.end();
}

/// The elements of three sizes of which `middle` stands for the second.
size_t around(const Arrays& arrays, int64_t outer, int64_t middle, int64_t inner) {
  return static_cast<size_t>(arrays.product({outer, middle, inner}));
}

void move(Arrays arrays, bool adds) {
  arrays.count(adds ? 3 : 2);
  const Value &x = arrays.input(0), &indices = arrays.input(1), &result = arrays.output();
  arrays.expect(indices.type == DataType::Int32, "indices", "int32", "another type");
  arrays.sameType(result, x, "result");
  const int64_t outer = arrays.size("outer size"), middle = arrays.size("indexed size"), inner = arrays.size("inner size");
  const size_t moved = around(arrays, outer, static_cast<int64_t>(indices.rows), inner);
  arrays.elements(x, around(arrays, outer, middle, inner), "operand 0");
  if (adds) {
    arrays.sameType(arrays.input(2), x, "values");
    arrays.expect(x.type != DataType::Bool, "operand 0", "numbers", "bools");
    arrays.elements(arrays.input(2), moved, "values");
    arrays.elements(result, x.rows, "result");
  } else {
    arrays.elements(result, moved, "result");
  }
  arrays.end();
}

void concat(Arrays arrays, size_t inputs) {
  arrays.count(inputs);
  const int64_t outer = arrays.size("outer size");
  int64_t all = 0;
  for (size_t i = 0; i < inputs; i++) {
    const int64_t own = arrays.size("size");
    arrays.sameType(arrays.input(i), arrays.output(), Arrays::nameOf(i));
    arrays.elements(arrays.input(i), static_cast<size_t>(arrays.product({outer, own})), Arrays::nameOf(i));
    all += own;
  }
  arrays.elements(arrays.output(), static_cast<size_t>(arrays.product({outer, all})), "result");
  arrays.end();
}

void assign(Arrays arrays) {
  arrays.count(2, 0);
  arrays.sameType(arrays.input(1), arrays.input(0), "target");
  arrays.elements(arrays.input(1), arrays.input(0).rows, "target");
  arrays.end();
}

bool isReduction(const std::string& name) {
  for (const char* each : {"array.sum", "array.mean", "array.prod", "array.max", "array.min", "array.argmax", "array.argmin"}) {
    if (name == each) return true;
  }
  return false;
}

}  // namespace

bool isArrayOperation(const std::string& name) { return name.rfind("array.", 0) == 0; }

void checkArrayOperation(const Node& node) {
  if (const auto* info = functionNamed(node.name)) return elementwise(Arrays(node), *info);
  if (isReduction(node.name)) return reduction(Arrays(node), node.name);
  if (node.name == "array.matmul") return matmul(Arrays(node));
  if (node.name == "array.take" || node.name == "array.indexAdd") return move(Arrays(node), node.name == "array.indexAdd");
  if (node.name == "array.assign") return assign(Arrays(node));
  if (node.name == "array.concat") return concat(Arrays(node), node.inputs.size());
  throw std::invalid_argument("no operation is called " + node.name);
}

std::unique_ptr<Operation> makeArrayOperation(const Node& node) {
  if (const auto* info = functionNamed(node.name)) return makeElementwise(node, info->function);
  if (isReduction(node.name)) return makeReduction(node);
  if (node.name == "array.matmul") return makeMatmul(node);
  return makeArrayMove(node);
}

}  // namespace troupe::program
