#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <sched.h>

#include "channel/doorbell.h"
#include "channel/futex.h"
#include "channel/waker.h"

namespace troupe {

/// How one end of a channel waits for the other, in memory that both map: awake, asleep on a futex, or with its event loop
/// asleep. Waking it costs a load while it is awake, and it is woken once for each time that it went to sleep.
class Sleeper {
 public:
  /// Before the other end can know of this one.
  void setWaker(const WakerAddress& address) { address_ = address; }

  /// Called after making something true that the end may wait for.
  void wake(RemoteWaker& waker) {
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (state_.load(std::memory_order_relaxed) == kAwake) return;
    switch (state_.exchange(kAwake, std::memory_order_seq_cst)) {
      case kInFutex: futexWake(state_); break;
      case kInLoop: waker.wake(address_); break;
      default: break;
    }
  }

  /// Sleeps until it is woken or `timeout` has passed, unless `ready()` holds.
  template <class Ready>
  void sleep(Ready&& ready, std::chrono::nanoseconds timeout) {
    state_.store(kInFutex, std::memory_order_seq_cst);
    if (!ready()) futexWait(state_, kInFutex, timeout);
    state_.store(kAwake, std::memory_order_seq_cst);
  }

  /// Asks for a byte in the event loop's pipe. False, and no byte will come, when `ready()` holds already.
  template <class Ready>
  bool sleepInLoop(Ready&& ready) {
    state_.store(kInLoop, std::memory_order_seq_cst);
    if (!ready()) return true;
    state_.store(kAwake, std::memory_order_seq_cst);
    return false;
  }

  void stayAwake() { state_.store(kAwake, std::memory_order_relaxed); }

 private:
  enum State : uint32_t { kAwake, kInFutex, kInLoop };

  std::atomic<uint32_t> state_{kAwake};
  WakerAddress address_;
};

/// Waits awake until `ready()` holds, at most for `limit`. After the first moments it offers its core to others before
/// each look, so that with more such processes than cores the one that is waited for gets to run.
template <class Ready>
bool spinUntil(Ready&& ready, std::chrono::nanoseconds limit) {
  constexpr int kPauses = 40;
  if (ready()) return true;
  const auto end = std::chrono::steady_clock::now() + limit;
  for (int look = 0; limit.count() > 0; look++) {
    if (look < kPauses) {
      pauseBriefly();
    } else {
      sched_yield();
    }
    if (ready()) return true;
    if (look % 8 == 7 && std::chrono::steady_clock::now() >= end) return false;
  }
  return false;
}

}  // namespace troupe
