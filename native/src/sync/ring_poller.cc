#include "sync/ring_poller.h"

#include <algorithm>
#include <sched.h>

#include "sync/backoff.h"

namespace troupe {

/// Looks between two offers of the processor to others, which cost a system call.
static constexpr int kLooks = 16;

void RingPoller::remove(const Counter* written) {
  rings_.erase(std::remove_if(rings_.begin(), rings_.end(), [=](const Counters& ring) { return ring.written == written; }), rings_.end());
}

bool RingPoller::poll(std::chrono::nanoseconds patience) const {
  const auto until = std::chrono::steady_clock::now() + patience;
  do {
    for (int look = 0; look < kLooks; look++) {
      if (isAnyReadable()) return true;
      pauseBriefly();
    }
    sched_yield();
  } while (std::chrono::steady_clock::now() < until);
  return isAnyReadable();
}

bool RingPoller::isAnyReadable() const {
  return std::any_of(rings_.begin(), rings_.end(), [](const Counters& ring) {
    return ring.written->load(std::memory_order_acquire) != ring.read->load(std::memory_order_relaxed);
  });
}

}  // namespace troupe
