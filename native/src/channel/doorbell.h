#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

namespace troupe {

/// A counter in shared memory that one process sleeps on and others raise. Sleeping costs no CPU; raising costs a
/// system call only while somebody sleeps.
class Doorbell {
 public:
  uint32_t read() const { return count_.load(std::memory_order_seq_cst); }

  void ring();

  /// Returns when the counter differs from `seen`, or after `timeout`.
  void wait(uint32_t seen, std::chrono::nanoseconds timeout);

  /// Sleeps until the next ring, or `timeout`, unless `ready()` already holds. Who makes it hold may leave out the ring
  /// when hasSleepers() is false afterwards, provided that both use sequentially consistent atomics.
  template <class Ready>
  void sleepUnless(Ready&& ready, std::chrono::nanoseconds timeout) {
    sleepUnless(ready, timeout, read());
  }
  /// The same, and does not sleep if it has rung since read() gave `seen`.
  template <class Ready>
  void sleepUnless(Ready&& ready, std::chrono::nanoseconds timeout, uint32_t seen) {
    sleepers_.fetch_add(1, std::memory_order_seq_cst);
    if (!ready()) sleep(seen, timeout);
    sleepers_.fetch_sub(1, std::memory_order_seq_cst);
  }
  bool hasSleepers() const { return sleepers_.load(std::memory_order_seq_cst) > 0; }

 private:
  void sleep(uint32_t seen, std::chrono::nanoseconds timeout);

  std::atomic<uint32_t> count_{0};
  std::atomic<uint32_t> sleepers_{0};
};

static_assert(std::atomic<uint32_t>::is_always_lock_free, "a doorbell lives in memory that processes share");

/// One round of a bounded busy wait.
inline void pauseBriefly() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace troupe
