#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <sched.h>
#include <vector>

#include "channel/doorbell.h"
#include "channel/futex.h"
#include "channel/waker.h"

namespace troupe {

/// How one end of a channel waits for the other, in memory that both map: awake, asleep on a futex, or with its event loop
/// asleep. Waking it costs a load while it is awake, and it is woken once for each time that it went to sleep.
class Sleeper {
 public:
  enum State : uint32_t { kIsAwake, kInFutex, kInLoop };

  /// Before the other end can know of this one.
  void setWaker(const WakerAddress& address) { address_ = address; }

  /// Called after making something true that the end may wait for.
  void wake(RemoteWaker& waker) {
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (state_.load(std::memory_order_relaxed) == kIsAwake) return;
    switch (state_.exchange(kIsAwake, std::memory_order_seq_cst)) {
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
    state_.store(kIsAwake, std::memory_order_seq_cst);
  }

  /// Asks for a byte in the event loop's pipe. False, and no byte will come, when `ready()` holds already.
  template <class Ready>
  bool sleepInLoop(Ready&& ready) {
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

/// How long an end waits awake before it sleeps.
constexpr std::chrono::microseconds kAwake{40};

/// For how long no core is offered after an offer that cost much: twice as long after each that follows soon, so that one
/// that met some passing work is soon forgotten, and on a host that is busy with other work few are made.
class Patience {
 public:
  using Clock = std::chrono::steady_clock;

  bool isOver(Clock::time_point now) const { return now >= until_; }

  void offerWasCostly(Clock::time_point now) {
    constexpr Clock::duration kLeast = std::chrono::microseconds{500}, kMost = std::chrono::milliseconds{32};
    length_ = now < until_ + 2 * length_ ? std::min(2 * length_, kMost) : kLeast;
    until_ = now + length_;
  }

 private:
  Clock::time_point until_{};
  Clock::duration length_{};
};

/// Waits awake until `ready()` holds, at most for `limit`. After the first two microseconds it offers its core to others
/// before each look, so that with more such processes than cores the one that is waited for gets to run. On a host that
/// is busy with other work an offer can cost milliseconds, so after one that did none are made for a while, and the wait
/// awake is short.
template <class Ready>
bool spinUntil(Ready&& ready, std::chrono::nanoseconds limit) {
  using Clock = Patience::Clock;
  constexpr std::chrono::microseconds kWithoutOffer{2}, kShort{12}, kCostly{100};
  static thread_local Patience patience;
  if (ready()) return true;
  const auto start = Clock::now();
  const bool isBusy = !patience.isOver(start);
  const auto end = start + (isBusy ? std::min<std::chrono::nanoseconds>(limit, kShort) : limit);
  auto now = start;
  while (now < end) {
    if (isBusy || now - start < kWithoutOffer) {
      pauseBriefly();
    } else {
      sched_yield();
    }
    if (ready()) return true;
    const auto before = now;
    now = Clock::now();
    if (now - before > kCostly) {
      patience.offerWasCostly(now);
      return false;
    }
  }
  return false;
}

/// Waits for any of several ends: each is in `sleepers`, and `ready()` holds when one of them need not wait.
template <class Ready>
void sleepOnAny(const std::vector<Sleeper*>& sleepers, Ready&& ready, std::chrono::nanoseconds timeout) {
  std::vector<std::atomic<uint32_t>*> words;
  for (Sleeper* sleeper : sleepers) words.push_back(sleeper->enter());
  if (!ready()) futexWaitAny(words, Sleeper::kInFutex, timeout);
  for (Sleeper* sleeper : sleepers) sleeper->stayAwake();
}

}  // namespace troupe
