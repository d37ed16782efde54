#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <vector>

#include "sync/futex.h"
#include "sync/waker.h"

namespace troupe {

/// How one end of a queue waits for the other, in memory that both map: awake, parked on a futex, or with its event loop
/// asleep. Unparking it costs a load while it is awake, and it is woken once for each time that it parked.
class Parker {
 public:
  enum State : uint32_t { kIsAwake, kInFutex, kInLoop };

  /// Before the other end can know of this one.
  void setWaker(const WakerAddress& address) { address_ = address; }

  /// Called after making something true that the end may wait for.
  void unpark(RemoteWaker& waker) {
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (state_.load(std::memory_order_relaxed) == kIsAwake) return;
    switch (state_.exchange(kIsAwake, std::memory_order_seq_cst)) {
      case kInFutex: futexWake(state_); break;
      case kInLoop: waker.wake(address_); break;
      default: break;
    }
  }

  /// Sleeps until it is unparked or `timeout` has passed, unless `ready()` holds.
  template <class Ready>
  void park(Ready&& ready, std::chrono::nanoseconds timeout) {
    state_.store(kInFutex, std::memory_order_seq_cst);
    if (!ready()) futexWait(state_, kInFutex, timeout);
    state_.store(kIsAwake, std::memory_order_seq_cst);
  }

  /// Asks for a byte in the event loop's pipe. False, and no byte will come, when `ready()` holds already.
  template <class Ready>
  bool parkInLoop(Ready&& ready) {
    state_.store(kInLoop, std::memory_order_seq_cst);
    if (!ready()) return true;
    state_.store(kIsAwake, std::memory_order_seq_cst);
    return false;
  }

  /// Says that it will sleep on the word that is returned, until stayAwake().
  std::atomic<uint32_t>* enter() {
    state_.store(kInFutex, std::memory_order_seq_cst);
    return &state_;
  }

  void stayAwake() { state_.store(kIsAwake, std::memory_order_relaxed); }

 private:
  std::atomic<uint32_t> state_{kIsAwake};
  WakerAddress address_;
};

/// Sleeps until any of several ends is unparked or `timeout` has passed, unless `ready()` holds, as it does when one of them
/// need not wait.
template <class Ready>
void parkAll(const std::vector<Parker*>& parkers, Ready&& ready, std::chrono::nanoseconds timeout) {
  std::vector<std::atomic<uint32_t>*> words;
  words.reserve(parkers.size());
  for (Parker* parker : parkers) words.push_back(parker->enter());
  if (!ready()) futexWaitAny(words, Parker::kInFutex, timeout);
  for (Parker* parker : parkers) parker->stayAwake();
}

}  // namespace troupe
