#include "program/program.h"

#include <algorithm>
#include <chrono>
#include <sched.h>
#include <stdexcept>

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
  }
  return reinterpret_cast<float*>(buffer->data());
}

// Collectives among processes of one host work in place on memory that all of them can map.
static std::shared_ptr<Storage> arenaFor(const Program::Description& description) {
  return description.groups.empty() ? Storage::allocate(description.arenaBytes) : Storage::allocateShared(description.arenaBytes, false);
}

Program::Program(Description description, int threads, Cores cores)
    : description_(std::move(description)), arena_(arenaFor(description_)), threads_(threads), cores_(cores) {
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
  keepToCores();
  const auto began = Clock::now();
  try {
    const Step step{symbols, threads_, workspace_, scratch_->data()};
    for (size_t i = 0; i < operations_.size(); i++) {
      if (cancelled_) throw std::runtime_error("the program was cancelled");
      run(i, step);
    }
    total_ += nanoseconds(Clock::now() - began);
  } catch (const std::exception& error) {
    cancel(error.what());
    throw;
  }
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

void Program::run(size_t operation, const Step& step) {
  const int index = description_.operations[operation].group;
  if (index < 0) return operations_[operation]->run(step);
  const auto& group = *description_.groups[static_cast<size_t>(index)];
  const auto waited = group.waited();
  const auto began = Clock::now();
  operations_[operation]->run(step);
  communicating_ += nanoseconds(Clock::now() - began);
  waiting_ += nanoseconds(group.waited() - waited);
}

void Program::cancel(const std::string& reason) {
  cancelled_ = true;
  for (const auto& group : description_.groups) group->abort(reason);
}

}  // namespace troupe::program
