#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

namespace troupe {

/// A count of events in shared memory, which one process waits on and others raise, for conditions that stand elsewhere.
/// Waiting costs no CPU; raising it costs a system call only while somebody waits.
class Eventcount {
 public:
  uint32_t read() const { return count_.load(std::memory_order_seq_cst); }

  void notify();

  /// Returns when the count differs from `seen`, or after `timeout`.
  void wait(uint32_t seen, std::chrono::nanoseconds timeout);

  /// Sleeps until the next event, or `timeout`, unless `ready()` already holds. Who makes it hold may leave out the
  /// notification when hasWaiters() is false afterwards, provided that both use sequentially consistent atomics.
  template <class Ready>
  void waitUnless(Ready&& ready, std::chrono::nanoseconds timeout) {
    waitUnless(ready, timeout, read());
  }
  /// The same, and does not sleep if there was an event since read() gave `seen`.
  template <class Ready>
  void waitUnless(Ready&& ready, std::chrono::nanoseconds timeout, uint32_t seen) {
    waiters_.fetch_add(1, std::memory_order_seq_cst);
    if (!ready()) sleep(seen, timeout);
    waiters_.fetch_sub(1, std::memory_order_seq_cst);
  }
  bool hasWaiters() const { return waiters_.load(std::memory_order_seq_cst) > 0; }

 private:
  void sleep(uint32_t seen, std::chrono::nanoseconds timeout);

  std::atomic<uint32_t> count_{0};
  std::atomic<uint32_t> waiters_{0};
};

static_assert(std::atomic<uint32_t>::is_always_lock_free, "an eventcount lives in memory that processes share");

}  // namespace troupe
