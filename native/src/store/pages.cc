// The pages behind a store's memory: taken from the host when an object first needs them, and given back when much is free.
#include <fcntl.h>

#include "memory/crash_point.h"
#include "store/layout.h"

namespace troupe::store {
namespace {

/// Bytes of free memory whose pages are kept for what comes next: taking pages costs more than a copy.
constexpr uint64_t kKept = uint64_t{512} << 20;

bool isTaken(uint8_t changes) { return changes % 2 == 1; }

}  // namespace

/// Takes the pages of a part of the memory, so that a full host fails here and not with a signal at some later write.
bool Store::commit(uint64_t offset, uint64_t bytes, bool* isZero) {
  *isZero = true;
  for (uint64_t chunk = offset / kChunk; chunk * kChunk < offset + bytes; chunk++) {
    auto& changes = layout_->chunks()[chunk];
    if (isTaken(changes.load(std::memory_order_relaxed))) {
      *isZero = false;
      continue;
    }
    if (posix_fallocate(memory_->fd(), static_cast<off_t>(layout_->dataOffset() + chunk * kChunk), kChunk) != 0) return false;
    CRASH_POINT();
    changes.fetch_add(1, std::memory_order_relaxed);
  }
  return true;
}

/// Populates this process's mapping of an object that is about to be written.
void Store::populate(const uint8_t* data, uint64_t bytes) {
  const auto begin = static_cast<uint64_t>(data - layout_->data()), end = begin + bytes;
  for (uint64_t at = begin, next = 0; at < end; at = next) {
    next = std::min(end, (at / kChunk + 1) * kChunk);
    memory_->populate(layout_->dataOffset() + at, next - at, layout_->chunks()[at / kChunk].load(std::memory_order_relaxed));
  }
}

/// Gives the pages of a free part back to the host, but for what is kept.
void Store::trim(uint64_t offset, uint64_t bytes) {
  uint64_t committed = 0;
  for (uint64_t chunk = 0; chunk * kChunk < layout_->memoryBytes; chunk++)
    committed += isTaken(layout_->chunks()[chunk].load(std::memory_order_relaxed)) ? kChunk : 0;
  const uint64_t used = layout_->memoryBytes - layout_->memory().free();
  for (uint64_t chunk = (offset + kChunk - 1) / kChunk; (chunk + 1) * kChunk <= offset + bytes && committed > used + kKept; chunk++) {
    auto& changes = layout_->chunks()[chunk];
    if (!isTaken(changes.load(std::memory_order_relaxed))) continue;
    changes.fetch_add(1, std::memory_order_relaxed);
    CRASH_POINT();
    fallocate(memory_->fd(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(layout_->dataOffset() + chunk * kChunk),
              kChunk);
    committed -= kChunk;
  }
}

}  // namespace troupe::store
