#include "program/program.h"

#include <algorithm>
#include <chrono>
#include <sched.h>
#include <stdexcept>

#include "program/index_copies.h"
#include "program/schema.h"

namespace troupe::program {

using Clock = std::chrono::steady_clock;

static int64_t nanoseconds(Clock::duration time) { return std::chrono::duration_cast<std::chrono::nanoseconds>(time).count(); }

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
    buffer->populate(0, buffer->bytes());
  }
  return reinterpret_cast<float*>(buffer->data());
}

// Collectives among processes of one host work in place on memory that all of them can map.
static std::shared_ptr<Storage> arenaFor(const Program::Description& description) {
  return description.groups.empty() ? Storage::allocate(description.arenaBytes) : Storage::allocateShared(description.arenaBytes, false);
}

Program::Program(Description description, int threads, Cores cores)
    : description_(std::move(description)), arena_(arenaFor(description_)), threads_(threads), cores_(cores),
      isHere_(description_.values.size()), spent_(description_.operations.size()) {
  checkValues();
  for (const auto& storage : description_.storages) {
    const auto file = storage->file();
    if (file && std::find(files_.begin(), files_.end(), file) == files_.end()) files_.push_back(file);
  }
  auto& values = description_.values;
  for (const auto& traced : description_.operations) {
    for (const auto* list : {&traced.inputs, &traced.outputs}) {
      for (int index : *list) isHere_[static_cast<size_t>(index)] = isHere_[static_cast<size_t>(index)] || !traced.isElsewhere;
    }
  }
  isConstant_.reserve(values.size());
  for (const auto& value : values) isConstant_.push_back(value.data != nullptr);
  for (size_t i = 0; i < values.size(); i++) {
    if (isConstant_[i]) continue;
    values[i].data = arena_->data() + description_.arenaOffsets[i];
    if (isHere_[i] && values[i].symbol == Value::kFixed) arena_->populate(description_.arenaOffsets[i], values[i].bytes());
  }
  populatedRows_.resize(description_.symbols.size());
  indices_ = std::make_unique<IndexCopies>();
  for (const auto& traced : description_.operations) {
    const int fixed = fixedInput(traced.name), written = writtenInput(traced.name);
    const auto inputs = static_cast<int>(traced.inputs.size());
    for (int index : traced.outputs) indices_->addWritten(values[static_cast<size_t>(index)]);
    if (written >= 0 && written < inputs) indices_->addWritten(values[static_cast<size_t>(traced.inputs[static_cast<size_t>(written)])]);
    if (fixed >= 0 && fixed < inputs && !isConstant_[static_cast<size_t>(traced.inputs[static_cast<size_t>(fixed)])]) {
      throw std::invalid_argument(traced.name + ": input " + std::to_string(fixed) + ": expected a constant, found what a run gives");
    }
  }
  for (const auto& traced : description_.operations) addOperation(traced);
  size_t bytes = 0;
  for (const auto& operation : operations_) bytes = std::max(bytes, operation ? operation->scratchBytes(threads_.size()) : 0);
  scratch_ = Storage::allocate(bytes);
  expectFilesUnchanged();
}

Program::~Program() = default;

void Program::expectFilesUnchanged() const {
  for (const auto& file : files_) file->expectUnchanged();
}

void Program::checkValues() const {
  const auto count = static_cast<int>(description_.values.size());
  for (int i = 0; i < count; i++) {
    const auto& value = description_.values[static_cast<size_t>(i)];
    const auto fail = [&](const std::string& what) { throw std::invalid_argument("value " + std::to_string(i) + " of a program " + what); };
    if (value.symbol < Value::kFixed || value.symbol >= static_cast<int>(description_.limits.size()))
      fail("has a symbol that there is not");
    if (value.symbol >= 0 && value.rows < description_.limits[static_cast<size_t>(value.symbol)])
      fail("has fewer rows than its symbol may say");
    const size_t rowBytes = kernel::rowBytes(value.type, value.columns), offset = description_.arenaOffsets[static_cast<size_t>(i)];
    const size_t alignment = kernel::isQuantized(value.type) ? 1 : kernel::blockSizeOf(value.type).bytes;
    if ((value.data != nullptr ? reinterpret_cast<uintptr_t>(value.data) : offset) % alignment != 0)
      fail("does not begin at a multiple of its elements' bytes");
    if (value.isPacked && (value.data == nullptr || value.symbol != Value::kFixed || value.bytes() == 0))
      fail("is packed, which only weights of some types can be");
    if (value.data != nullptr) continue;
    if (offset > description_.arenaBytes || (rowBytes > 0 && value.rows > (description_.arenaBytes - offset) / rowBytes))
      fail("does not fit its memory");
  }
  for (const auto& operation : description_.operations) {
    for (const auto* list : {&operation.inputs, &operation.outputs}) {
      for (int index : *list) {
        if (index < 0 || index >= count)
          throw std::invalid_argument(operation.name + ": expected one of " + std::to_string(count) + " values, found number " +
                                      std::to_string(index));
      }
    }
    if (operation.group >= static_cast<int>(description_.groups.size()))
      throw std::invalid_argument(operation.name + ": there is no group " + std::to_string(operation.group));
  }
}

void Program::addOperation(const Description::Operation& traced) {
  const auto& values = description_.values;
  Node node{traced.name, {}, {}, traced.numbers, traced.geometry, nullptr, &description_.symbols};
  for (int index : traced.inputs) node.inputs.push_back(&values[static_cast<size_t>(index)]);
  for (int index : traced.outputs) node.outputs.push_back(&values[static_cast<size_t>(index)]);
  if (traced.group >= 0) node.group = description_.groups[static_cast<size_t>(traced.group)].get();
  const size_t ranks = node.group ? static_cast<size_t>(node.group->size()) : 0,
               rank = node.group ? static_cast<size_t>(node.group->rank()) : 0;
  checkOperation(node, ranks, rank);
  indices_->take(node, operations_.size(), ranks, rank);
  operations_.push_back(traced.isElsewhere ? nullptr : makeOperation(Device::Cpu, node));
}

void Program::checkSymbols(const std::vector<size_t>& symbols) const {
  if (symbols.size() != description_.symbols.size()) throw std::invalid_argument("a run must give every symbol a value");
  for (size_t i = 0; i < symbols.size(); i++) {
    if (symbols[i] > description_.limits[i]) {
      throw std::invalid_argument(description_.symbols[i] + " is " + std::to_string(symbols[i]) + "; this program was made for at most " +
                                  std::to_string(description_.limits[i]));
    }
  }
}

void Program::check(const std::vector<size_t>& symbols) {
  checkSymbols(symbols);
  indices_->checkAll(symbols);
}

void Program::run(const std::vector<size_t>& symbols, size_t begin, size_t end) {
  checkSymbols(symbols);
  if (cancelled_) throw std::runtime_error("the program was cancelled");
  for (const auto& group : description_.groups) group->expectConnected();
  if (begin == 0) indices_->checkAll(symbols);
  keepToCores();
  populateArena(symbols);
  const auto began = Clock::now();
  try {
    expectFilesUnchanged();
    const Step step{symbols, threads_, workspace_, scratch_->data()};
    for (size_t i = begin; i < std::min(end, operations_.size()); i++) {
      if (cancelled_) throw std::runtime_error("the program was cancelled");
      if (operations_[i]) runOne(i, step);
    }
    expectFilesUnchanged();
    total_ += nanoseconds(Clock::now() - began);
  } catch (const std::exception& error) {
    cancel(error.what());
    throw;
  }
}

// Of the arena, what values of these sizes fill: symbols may stay far below their limits.
void Program::populateArena(const std::vector<size_t>& symbols) {
  const auto grows = [&](size_t symbol) { return symbols[symbol] > populatedRows_[symbol]; };
  for (size_t i = 0; i < description_.values.size(); i++) {
    const auto& value = description_.values[i];
    const auto symbol = static_cast<size_t>(value.symbol);
    if (value.symbol == Value::kFixed || isConstant_[i] || !isHere_[i] || !grows(symbol)) continue;
    arena_->populate(description_.arenaOffsets[i], symbols[symbol] * kernel::rowBytes(value.type, value.columns));
  }
  for (size_t symbol = 0; symbol < symbols.size(); symbol++) populatedRows_[symbol] = std::max(populatedRows_[symbol], symbols[symbol]);
}

// Threads of several processes that wake each other are often put on one core, while another is idle.
void Program::keepToCores() const {
  cpu_set_t allowed;
  if (cores_.all == 0 || sched_getaffinity(0, sizeof allowed, &allowed) != 0) return;
  const int current = sched_getcpu();
  int own = -1, number = 0, currentNumber = -1;
  for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
    if (!CPU_ISSET(cpu, &allowed)) continue;
    if (number == cores_.first) own = cpu;
    if (cpu == current) currentNumber = number;
    number++;
  }
  const bool isOwn = currentNumber >= cores_.first && currentNumber < cores_.first + threads_.size();
  if (isOwn || currentNumber >= cores_.all || own < 0) return;
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(own, &one);
  if (sched_setaffinity(0, sizeof one, &one) == 0) sched_setaffinity(0, sizeof allowed, &allowed);
}

void Program::runOne(size_t operation, const Step& step) {
  indices_->checkComputed(operation, step.symbols);
  const int index = description_.operations[operation].group;
  const auto* group = index < 0 ? nullptr : description_.groups[static_cast<size_t>(index)].get();
  const auto waited = group ? group->waited() : Clock::duration{};
  const auto began = Clock::now();
  operations_[operation]->run(step);
  const auto took = nanoseconds(Clock::now() - began);
  spent_[operation].nanoseconds += took;
  spent_[operation].bytes += static_cast<int64_t>(bytesOf(operation, step));
  if (!group) return;
  communicating_ += took;
  waiting_ += nanoseconds(group->waited() - waited);
}

size_t Program::bytesOf(size_t operation, const Step& step) const {
  const auto& traced = description_.operations[operation];
  const auto bytes = [&](int index) {
    const Value& value = description_.values[static_cast<size_t>(index)];
    return value.isPacked ? value.bytes() : step.rows(value) * kernel::rowBytes(value.type, value.columns);
  };
  size_t total = 0;
  for (int index : traced.outputs) total += bytes(index);
  if (const auto part = operations_[operation]->partBytes(step)) return total + *part;
  const auto written = writtenInput(traced.name);
  for (size_t i = 0; i < traced.inputs.size(); i++) {
    if (static_cast<int>(i) != written) total += bytes(traced.inputs[i]);
  }
  return total;
}

std::vector<Program::Profile> Program::profile() const {
  std::vector<Profile> found;
  const auto columns = [&](int index) { return description_.values[static_cast<size_t>(index)].columns; };
  for (size_t i = 0; i < spent_.size(); i++) {
    const auto& traced = description_.operations[i];
    size_t out = 0;
    for (int index : traced.outputs) out += columns(index);
    found.push_back({traced.name, columns(traced.inputs.at(0)), out, spent_[i].nanoseconds, spent_[i].bytes});
  }
  return found;
}

void Program::cancel(const std::string& reason) {
  cancelled_ = true;
  for (const auto& group : description_.groups) group->abort(reason);
}

}  // namespace troupe::program
