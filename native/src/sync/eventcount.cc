#include "sync/eventcount.h"

#include "sync/futex.h"

namespace troupe {

void Eventcount::notify() {
  count_.fetch_add(1, std::memory_order_seq_cst);
  if (hasWaiters()) futexWake(count_);
}

void Eventcount::wait(uint32_t seen, std::chrono::nanoseconds timeout) {
  waiters_.fetch_add(1, std::memory_order_seq_cst);
  if (read() == seen) sleep(seen, timeout);
  waiters_.fetch_sub(1, std::memory_order_seq_cst);
}

void Eventcount::sleep(uint32_t seen, std::chrono::nanoseconds timeout) { futexWait(count_, seen, timeout); }

}  // namespace troupe
