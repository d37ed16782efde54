#include "collective/shared/operands.h"

#include <algorithm>
#include <cstring>

namespace troupe::collective {

OperandPlace placeOf(const uint8_t* data, size_t bytes) {
  OperandPlace place;
  const auto segment = SharedMemory::around(data, bytes);
  if (!segment) return place;
  const SharedMemoryHandle handle = segment->handle();
  if (handle.name.size() >= sizeof place.segment) return place;
  place.pid = handle.pid;
  place.fd = handle.fd;
  place.segmentBytes = handle.bytes;
  place.offset = static_cast<uint64_t>(data - segment->data());
  std::memcpy(place.segment, handle.name.c_str(), handle.name.size() + 1);
  return place;
}

uint8_t* OperandMapper::map(const OperandPlace& place) {
  const auto known = std::find_if(segments_.begin(), segments_.end(), [&](const auto& entry) { return entry.first == place.segment; });
  if (known != segments_.end()) {
    segments_.splice(segments_.begin(), segments_, known);
  } else {
    segments_.emplace_front(place.segment, SharedMemory::open({place.pid, place.fd, place.segment, place.segmentBytes}));
  }
  return segments_.front().second->data() + place.offset;
}

void OperandMapper::keep(size_t count) {
  while (segments_.size() > count) segments_.pop_back();
}

}  // namespace troupe::collective
