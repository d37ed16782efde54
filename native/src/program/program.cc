#include "program/program.h"

#include <algorithm>
#include <stdexcept>

namespace troupe::program {

double Node::number(const std::string& key) const {
  const auto found = numbers.find(key);
  if (found == numbers.end()) throw std::invalid_argument("operation " + name + " lacks its attribute " + key);
  return found->second;
}

float* Workspace::floats(size_t index, size_t count) {
  if (buffers_.size() <= index) buffers_.resize(index + 1);
  auto& buffer = buffers_[index];
  if (!buffer || buffer->bytes() < count * sizeof(float)) {
    buffer.reset();
    buffer = Storage::allocateShared(std::max<size_t>(1, count) * sizeof(float), false);
  }
  return reinterpret_cast<float*>(buffer->data());
}

// Collectives among processes of one host work in place on memory that all of them can map.
static std::shared_ptr<Storage> arenaFor(const Program::Description& description) {
  return description.groups.empty() ? Storage::allocate(description.arenaBytes) : Storage::allocateShared(description.arenaBytes, false);
}

Program::Program(Description description, int threads)
    : description_(std::move(description)), arena_(arenaFor(description_)), threads_(threads) {
  auto& values = description_.values;
  for (size_t i = 0; i < values.size(); i++) {
    if (values[i].data == nullptr) values[i].data = arena_->data() + description_.arenaOffsets[i];
  }
  for (const auto& traced : description_.operations) {
    Node node{traced.name, {}, {}, traced.numbers, nullptr};
    for (int index : traced.inputs) node.inputs.push_back(&values.at(static_cast<size_t>(index)));
    for (int index : traced.outputs) node.outputs.push_back(&values.at(static_cast<size_t>(index)));
    if (traced.group >= 0) node.group = description_.groups.at(static_cast<size_t>(traced.group)).get();
    operations_.push_back(makeOperation(Device::Cpu, node));
  }
  size_t bytes = 0;
  for (const auto& operation : operations_) bytes = std::max(bytes, operation->scratchBytes(threads_.size()));
  scratch_ = Storage::allocate(bytes);
}

void Program::run(const std::vector<size_t>& symbols) {
  if (symbols.size() != description_.symbols.size()) throw std::invalid_argument("a run must give every symbol a value");
  for (size_t i = 0; i < symbols.size(); i++) {
    if (symbols[i] > description_.limits[i]) {
      throw std::invalid_argument(description_.symbols[i] + " is " + std::to_string(symbols[i]) + "; this program was made for at most " +
                                  std::to_string(description_.limits[i]));
    }
  }
  try {
    const Step step{symbols, threads_, workspace_, scratch_->data()};
    for (const auto& operation : operations_) {
      if (cancelled_) throw std::runtime_error("the program was cancelled");
      operation->run(step);
    }
  } catch (const std::exception& error) {
    cancel(error.what());
    throw;
  }
}

void Program::cancel(const std::string& reason) {
  cancelled_ = true;
  for (const auto& group : description_.groups) group->abort(reason);
}

}  // namespace troupe::program
