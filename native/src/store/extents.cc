#include "store/extents.h"

#include <algorithm>
#include <cstring>

#include "memory/crash_point.h"

namespace troupe::store {

void FreeExtents::reset(uint32_t capacity, uint64_t bytes) {
  bytes_ = bytes;
  capacity_ = capacity;
  count_ = bytes > 0 ? 1 : 0;
  extents()[0] = {0, bytes};
}

bool FreeExtents::take(uint64_t bytes, uint64_t* offset) {
  Extent* const end = extents() + count_;
  Extent* const found = std::find_if(extents(), end, [&](const Extent& extent) { return extent.bytes >= bytes; });
  if (found == end) return false;
  *offset = found->offset;
  found->offset += bytes;
  CRASH_POINT();
  found->bytes -= bytes;
  if (found->bytes > 0) return true;
  CRASH_POINT();
  std::memmove(found, found + 1, static_cast<size_t>(end - found - 1) * sizeof(Extent));
  count_--;
  return true;
}

void FreeExtents::give(Extent extent) {
  Extent* const end = extents() + count_;
  Extent* next = std::lower_bound(extents(), end, extent.offset, [](const Extent& e, uint64_t offset) { return e.offset < offset; });
  Extent* const before = next > extents() ? next - 1 : nullptr;
  const bool joinsBefore = before != nullptr && before->offset + before->bytes == extent.offset;
  // NOLINTNEXTLINE(clang-analyzer-core.NullDereference): it lies between the ends of the array
  const bool joinsNext = next < end && extent.offset + extent.bytes == next->offset;
  if (joinsBefore) {
    before->bytes += extent.bytes + (joinsNext ? next->bytes : 0);
    CRASH_POINT();
    if (!joinsNext) return;
    std::memmove(next, next + 1, static_cast<size_t>(end - next - 1) * sizeof(Extent));
    count_--;
  } else if (joinsNext) {
    *next = {extent.offset, extent.bytes + next->bytes};
  } else if (count_ < capacity_) {
    std::memmove(next + 1, next, static_cast<size_t>(end - next) * sizeof(Extent));
    CRASH_POINT();
    *next = extent;
    count_++;
  }
}

void FreeExtents::rebuild(std::vector<Extent> used) {
  std::sort(used.begin(), used.end(), [](const Extent& a, const Extent& b) { return a.offset < b.offset; });
  uint64_t at = 0;
  count_ = 0;
  for (const auto& extent : used) {
    if (extent.offset > at) extents()[count_++] = {at, extent.offset - at};
    at = extent.offset + extent.bytes;
  }
  if (at < bytes_) extents()[count_++] = {at, bytes_ - at};
}

uint64_t FreeExtents::free() const {
  uint64_t sum = 0;
  for (uint32_t i = 0; i < count_; i++) sum += extents()[i].bytes;
  return sum;
}

uint64_t FreeExtents::largest() const {
  uint64_t most = 0;
  for (uint32_t i = 0; i < count_; i++) most = std::max(most, extents()[i].bytes);
  return most;
}

}  // namespace troupe::store
