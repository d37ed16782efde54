#pragma once

#include <functional>
#include <string>
#include <vector>

#include "program/program.h"

namespace troupe::program {

/// Numbers of a row of adjustments, by which logits are changed before they are sampled from.
constexpr size_t kAdjustmentColumns = 8;

/// Throws std::invalid_argument, which names the operation, the operand, what was expected and what was found, unless the
/// operands, attributes and group of an operation are what it takes. Where its operands' elements are does not matter.
/// @param ranks of its group, and which of them this is; 0 for an operation without one
void checkOperation(const Node& node, size_t ranks, size_t rank);

/// The input that an operation writes to, or -1.
int writtenInput(const std::string& operation);

/// The inputs whose elements say where an operation reads or writes, or how much: what they hold is checked in every run.
std::vector<size_t> indexInputs(const std::string& operation);
/// The one whose elements are taken in when the operation is made, if there is one, else -1: it must be a constant.
int fixedInput(const std::string& operation);
/// Throws std::invalid_argument unless the elements of the fixed input are what the operation takes.
void checkFixedInput(const Node& node);

/// A check of what index inputs hold in a run, which throws std::out_of_range.
struct IndexCheck {
  /// The inputs that it reads.
  std::vector<size_t> inputs;
  /// The key of what its outcome depends on beside them: of checks of the same values with the same key one is enough.
  std::string key;
  std::function<void(const std::vector<size_t>& symbols)> check;
};

/// The checks of an operation whose operands have passed checkOperation(), and which must outlive them.
std::vector<IndexCheck> indexChecks(const Node& node, size_t ranks, size_t rank);

}  // namespace troupe::program
