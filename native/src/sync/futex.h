#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <climits>
#include <cstdint>
#include <ctime>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <vector>

namespace troupe {

/// Sleeps while a word of shared memory holds `expected`, until it is woken or `timeout` has passed.
inline void futexWait(std::atomic<uint32_t>& word, uint32_t expected, std::chrono::nanoseconds timeout) {
  const timespec limit{static_cast<time_t>(timeout.count() / 1'000'000'000), static_cast<long>(timeout.count() % 1'000'000'000)};
  syscall(SYS_futex, &word, FUTEX_WAIT, expected, &limit, nullptr, 0);
}

inline void futexWake(std::atomic<uint32_t>& word) { syscall(SYS_futex, &word, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0); }

/// Sleeps while each of some words holds `expected`. Returns at once where the kernel cannot wait for several (before 5.16).
inline void futexWaitAny(const std::vector<std::atomic<uint32_t>*>& words, uint32_t expected, std::chrono::nanoseconds timeout) {
#ifdef SYS_futex_waitv
  constexpr long kWaitMany = SYS_futex_waitv;
#else
  constexpr long kWaitMany = 449;
#endif
  constexpr size_t kMost = 128;
  struct Entry {
    uint64_t value, address;
    uint32_t flags, reserved;
  };
  std::vector<Entry> entries;
  entries.reserve(words.size());
  for (auto* word : words) entries.push_back({expected, reinterpret_cast<uint64_t>(word), 2 /* 32 bits */, 0});
  timespec end;
  clock_gettime(CLOCK_MONOTONIC, &end);
  const int64_t nanoseconds = end.tv_nsec + timeout.count();
  end.tv_sec += static_cast<time_t>(nanoseconds / 1'000'000'000);
  end.tv_nsec = static_cast<long>(nanoseconds % 1'000'000'000);
  syscall(kWaitMany, entries.data(), std::min(entries.size(), kMost), 0, &end, CLOCK_MONOTONIC);
}

}  // namespace troupe
