// The pages behind a store's memory: taken from the host when an object first needs them, and given back when much is free.
#include <fcntl.h>

#include "memory/crash_point.h"
#include "store/layout.h"

namespace troupe::store {
namespace {

/// Bytes of free memory whose pages are kept for what comes next: taking pages costs more than a copy.
constexpr uint64_t kKept = uint64_t{512} << 20;

}  // namespace

/// Takes the pages of a part of the memory, so that a full host fails here and not with a signal at some later write.
bool Store::commit(uint64_t offset, uint64_t bytes, bool* isZero) {
  *isZero = true;
  for (uint64_t chunk = offset / kChunk; chunk * kChunk < offset + bytes; chunk++) {
    if (layout_->chunks()[chunk].load(std::memory_order_relaxed) != 0) {
      *isZero = false;
      continue;
    }
    if (posix_fallocate(memory_->fd(), static_cast<off_t>(layout_->dataOffset() + chunk * kChunk), kChunk) != 0) return false;
    CRASH_POINT();
    layout_->chunks()[chunk].store(1, std::memory_order_relaxed);
  }
  return true;
}

/// Gives the pages of a free part back to the host, but for what is kept.
void Store::trim(uint64_t offset, uint64_t bytes) {
  uint64_t committed = 0;
  for (uint64_t chunk = 0; chunk * kChunk < layout_->memoryBytes; chunk++)
    committed += layout_->chunks()[chunk].load(std::memory_order_relaxed) * kChunk;
  const uint64_t used = layout_->memoryBytes - layout_->memory().free();
  for (uint64_t chunk = (offset + kChunk - 1) / kChunk; (chunk + 1) * kChunk <= offset + bytes && committed > used + kKept; chunk++) {
    if (layout_->chunks()[chunk].exchange(0, std::memory_order_relaxed) == 0) continue;
    CRASH_POINT();
    fallocate(memory_->fd(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(layout_->dataOffset() + chunk * kChunk),
              kChunk);
    committed -= kChunk;
  }
}

}  // namespace troupe::store
