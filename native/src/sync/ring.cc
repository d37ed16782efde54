#include "sync/ring.h"

#include <algorithm>
#include <cstring>

namespace troupe {

size_t Ring::readable() const {
  return static_cast<size_t>(control_->written.load(std::memory_order_acquire) - control_->read.load(std::memory_order_relaxed));
}

const uint8_t* Ring::peek(size_t* bytes) const {
  const size_t at = control_->read.load(std::memory_order_relaxed) & (capacity_ - 1);
  *bytes = std::min(readable(), capacity_ - at);
  return data_ + at;
}

void Ring::consume(size_t bytes) { control_->read.fetch_add(bytes, std::memory_order_release); }

uint8_t* Ring::reserve(size_t* bytes) const {
  const uint64_t written = control_->written.load(std::memory_order_relaxed);
  const size_t free = capacity_ - static_cast<size_t>(written - control_->read.load(std::memory_order_acquire));
  const size_t at = written & (capacity_ - 1);
  *bytes = std::min(free, capacity_ - at);
  return data_ + at;
}

void Ring::produce(size_t bytes) { control_->written.fetch_add(bytes, std::memory_order_release); }

size_t Ring::write(const uint8_t* from, size_t bytes) {
  size_t done = 0;
  while (done < bytes) {
    size_t room;
    uint8_t* to = reserve(&room);
    if (room == 0) break;
    const size_t count = std::min(room, bytes - done);
    std::memcpy(to, from + done, count);
    produce(count);
    done += count;
  }
  return done;
}

size_t Ring::read(uint8_t* to, size_t bytes) {
  size_t done = 0;
  while (done < bytes) {
    size_t ready;
    const uint8_t* from = peek(&ready);
    if (ready == 0) break;
    const size_t count = std::min(ready, bytes - done);
    std::memcpy(to + done, from, count);
    consume(count);
    done += count;
  }
  return done;
}

}  // namespace troupe
