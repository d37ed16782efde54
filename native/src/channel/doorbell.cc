#include "channel/doorbell.h"

#include "channel/futex.h"

namespace troupe {

void Doorbell::ring() {
  count_.fetch_add(1, std::memory_order_seq_cst);
  if (hasSleepers()) futexWake(count_);
}

void Doorbell::wait(uint32_t seen, std::chrono::nanoseconds timeout) {
  sleepers_.fetch_add(1, std::memory_order_seq_cst);
  if (read() == seen) sleep(seen, timeout);
  sleepers_.fetch_sub(1, std::memory_order_seq_cst);
}

void Doorbell::sleep(uint32_t seen, std::chrono::nanoseconds timeout) { futexWait(count_, seen, timeout); }

}  // namespace troupe
