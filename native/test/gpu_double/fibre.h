#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace gpu_double {

/// Threads of a block, which one thread of the host executes in turns, each on a stack of its own.
class Fibres {
 public:
  static constexpr size_t kStackBytes = size_t{128} << 10;

  Fibres() = default;
  ~Fibres();
  Fibres(const Fibres&) = delete;
  Fibres& operator=(const Fibres&) = delete;

  /// Makes `count` of them that begin with `body(argument)`, which must not return. What others were in the middle of is lost.
  void start(size_t count, void (*body)(void*), void* argument);
  /// Continues fibre `index` until it calls leave().
  void enter(size_t index);
  /// Returns from the enter() that this fibre is in.
  void leave();

  uintptr_t stackOf(size_t index) const { return reinterpret_cast<uintptr_t>(stacks_) + index * kStackBytes; }
  bool areStacks(uintptr_t address) const { return address - reinterpret_cast<uintptr_t>(stacks_) < reserved_ * kStackBytes; }

 private:
  uint8_t* stacks_ = nullptr;
  size_t reserved_ = 0;
  std::vector<void*> fibres_;  // where each left off
  void* outside_ = nullptr;
  size_t current_ = 0;
};

}  // namespace gpu_double
