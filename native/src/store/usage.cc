// The room that a store has, and the holders of what is taken.
#include <string>

#include "store/layout.h"

namespace troupe::store {

uint64_t Store::freeBytes() const {
  Lock lock(*this);
  return layout_->memory().free();
}

uint64_t Store::spilledBytes() const {
  Lock lock(*this);
  return layout_->diskBytes - layout_->disk().free();
}

std::vector<Usage> Store::usage() const {
  Lock lock(*this);
  std::vector<Usage> all;
  for (uint32_t slot = 0; slot < kProcesses; slot++) {
    const pid_t pid = layout_->processes[slot].pid.load(std::memory_order_acquire);
    if (pid == 0) continue;
    Usage usage{pid, 0, 0};
    for (uint32_t i = 0; i < layout_->objectsUsed; i++) {
      const auto& object = layout_->objects()[i];
      if (object.state.load(std::memory_order_acquire) == Object::kEmpty || !contains(object.holders, slot)) continue;
      usage.objects++;
      usage.bytes += object.bytes;
    }
    all.push_back(usage);
  }
  std::sort(all.begin(), all.end(), [](const Usage& a, const Usage& b) { return a.bytes > b.bytes; });
  return all;
}

std::string Store::describeFull(uint64_t bytes) const {
  const auto mebibytes = [](uint64_t count) { return std::to_string((count + (1 << 19)) >> 20) + " MiB"; };
  uint64_t mapped = 0, unmapped = 0, spilled = 0;
  for (uint32_t i = 0; i < layout_->objectsUsed; i++) {
    const auto& object = layout_->objects()[i];
    if (object.state.load(std::memory_order_acquire) == Object::kEmpty) continue;
    const bool isOnDisk = (object.place.load(std::memory_order_acquire) & kOnDisk) != 0;
    (isOnDisk ? spilled : isEmpty(object.mappers) ? unmapped : mapped) += object.bytes;
  }
  return "the object store has no room for " + mebibytes(bytes) + ": of " + mebibytes(layout_->memoryBytes) + ", " + mebibytes(mapped) +
         " are in use by processes and " + mebibytes(unmapped) + " are held by refs; " + mebibytes(spilled) + " of " +
         mebibytes(layout_->diskBytes) + " are spilled to disk";
}

}  // namespace troupe::store
