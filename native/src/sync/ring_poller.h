#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <vector>

namespace troupe {

/// Polls for a moment whether other processes write to any of the rings that this one reads. A ring is known by its two
/// counters in shared memory, of what was written to it and what was read from it.
class RingPoller {
 public:
  using Counter = std::atomic<int32_t>;

  void add(const Counter* written, const Counter* read) { rings_.push_back({written, read}); }
  void remove(const Counter* written);

  /// Whether a ring has something to read, now or before `patience` is over. Lets other threads run meanwhile.
  bool poll(std::chrono::nanoseconds patience) const;

 private:
  struct Counters {
    const Counter* written;
    const Counter* read;
  };

  bool isAnyReadable() const;

  std::vector<Counters> rings_;
};

}  // namespace troupe
