#include "program/index_copies.h"

#include <algorithm>
#include <cstring>

namespace troupe::program {
namespace {

std::pair<const uint8_t*, const uint8_t*> regionOf(const Value& value) { return {value.data, value.data + value.bytes()}; }

}  // namespace

void IndexCopies::addWritten(const Value& value) { written_.push_back(regionOf(value)); }

void IndexCopies::Copy::refresh(const std::vector<size_t>& symbols) {
  const size_t rows = from->symbol == Value::kFixed ? from->rows : symbols[static_cast<size_t>(from->symbol)];
  if (rows > 0) std::memcpy(memory.data(), from->data, rows * from->columns * sizeof(int32_t));
}

std::unique_ptr<IndexCopies::Copy> IndexCopies::makeCopy(const Value& value) const {
  auto copy = std::make_unique<Copy>(Copy{&value, value, std::vector<int32_t>(value.rows * value.columns), false});
  copy->to.data = reinterpret_cast<uint8_t*>(copy->memory.data());
  const auto region = regionOf(value);
  copy->isComputed = std::any_of(written_.begin(), written_.end(),
                                 [&](const auto& other) { return region.first < other.second && other.first < region.second; });
  return copy;
}

void IndexCopies::take(Node& node, size_t operation, size_t ranks, size_t rank) {
  if (const int fixed = fixedInput(node.name); fixed >= 0) {
    auto& input = node.inputs[static_cast<size_t>(fixed)];
    fixed_.push_back(makeCopy(*input));
    fixed_.back()->refresh({});
    input = &fixed_.back()->to;
    checkFixedInput(node);
  }
  std::map<size_t, Copy*> own;
  for (const size_t index : indexInputs(node.name)) {
    auto& copy = copies_[node.inputs[index]];
    if (!copy) copy = makeCopy(*node.inputs[index]);
    own[index] = copy.get();
    node.inputs[index] = &own[index]->to;
  }
  auto& [copies, checks] = computed_[operation];
  for (const auto& [index, copy] : own) {
    if (copy->isComputed)
      copies.push_back(copy);
    else if (std::find(given_.begin(), given_.end(), copy) == given_.end())
      given_.push_back(copy);
  }
  for (auto& check : indexChecks(node, ranks, rank)) {
    std::string key = check.key;
    for (const size_t index : check.inputs) key += ":" + std::to_string(reinterpret_cast<uintptr_t>(own.at(index)));
    if (std::any_of(check.inputs.begin(), check.inputs.end(), [&](size_t index) { return own.at(index)->isComputed; }))
      checks.push_back(std::move(check));
    else if (known_.insert(key).second)
      checks_.push_back(std::move(check));
  }
  if (copies.empty()) computed_.erase(operation);
}

void IndexCopies::checkAll(const std::vector<size_t>& symbols) {
  for (Copy* copy : given_) copy->refresh(symbols);
  for (const auto& check : checks_) check.check(symbols);
}

void IndexCopies::checkComputed(size_t operation, const std::vector<size_t>& symbols) {
  const auto found = computed_.find(operation);
  if (found == computed_.end()) return;
  for (Copy* copy : found->second.first) copy->refresh(symbols);
  for (const auto& check : found->second.second) check.check(symbols);
}

}  // namespace troupe::program
