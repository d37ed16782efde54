#pragma once

#include <algorithm>
#include <chrono>
#include <sched.h>

namespace troupe {

/// One round of a bounded busy wait.
inline void pauseBriefly() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

/// How long an end of a queue waits awake before it sleeps.
constexpr std::chrono::microseconds kAwake{40};

/// For how long no core is offered after an offer that cost much: twice as long after each that follows soon, so that one
/// that met some passing work is soon forgotten, and on a host that is busy with other work few are made.
class Backoff {
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
  using Clock = Backoff::Clock;
  constexpr std::chrono::microseconds kWithoutOffer{2}, kShort{12}, kCostly{100};
  static thread_local Backoff backoff;
  if (ready()) return true;
  const auto start = Clock::now();
  const bool isBusy = !backoff.isOver(start);
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
      backoff.offerWasCostly(now);
      return false;
    }
  }
  return false;
}

}  // namespace troupe
