#include "channel/doorbell.h"

#include <climits>
#include <ctime>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace troupe {

void Doorbell::ring() {
  count_.fetch_add(1, std::memory_order_seq_cst);
  if (hasSleepers()) syscall(SYS_futex, &count_, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

void Doorbell::wait(uint32_t seen, std::chrono::nanoseconds timeout) {
  sleepers_.fetch_add(1, std::memory_order_seq_cst);
  if (read() == seen) sleep(seen, timeout);
  sleepers_.fetch_sub(1, std::memory_order_seq_cst);
}

void Doorbell::sleep(uint32_t seen, std::chrono::nanoseconds timeout) {
  const timespec limit{static_cast<time_t>(timeout.count() / 1'000'000'000), static_cast<long>(timeout.count() % 1'000'000'000)};
  syscall(SYS_futex, &count_, FUTEX_WAIT, seen, &limit, nullptr, 0);
}

}  // namespace troupe
