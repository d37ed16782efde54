#pragma once

#include <memory>
#include <string>
#include <vector>

#include "kernel/kernels.h"
#include "program/array_geometry.h"
#include "program/program.h"

namespace troupe::program {

/// Operations on arrays of any number of dimensions are called `array.` and what they do. Their operands are rows of one element, and
/// their geometry says the shapes:
///
/// - a function of elements: rank, sizes; for each input its offset and strides. The result lies in row-major order.
/// - a reduction: rank and sizes of what is kept, rank and sizes of what is reduced; the input's offset, and its strides in both.
/// - matmul, [m, k] · [k, n] for each of several: m, k, n, rank, sizes; for both inputs, in matrices, the offset and strides.
/// - take and indexAdd, along the middle of three dimensions: outer, middle, inner.
/// - assign, into its second input: nothing.
/// - concat, along the middle of three: outer, then for each input its middle · inner.
bool isArrayOperation(const std::string& name);

/// As checkOperation().
void checkArrayOperation(const Node& node);

std::unique_ptr<Operation> makeArrayOperation(const Node& node);
std::unique_ptr<Operation> makeElementwise(const Node& node, kernel::Function function);
std::unique_ptr<Operation> makeReduction(const Node& node);
std::unique_ptr<Operation> makeMatmul(const Node& node);
std::unique_ptr<Operation> makeArrayMove(const Node& node);

/// A function of elements, how many operands it takes, and what types they and the result may have.
struct FunctionInfo {
  kernel::Function function;
  size_t operands;
  /// Whether only floats are taken, and whether the result is Bool whatever was given.
  bool floatsOnly, givesBool;
};
/// By the name of its operation; null for others.
const FunctionInfo* functionNamed(const std::string& name);

/// Elements that are read, computed and written at once.
constexpr size_t kChunk = 512;

}  // namespace troupe::program
