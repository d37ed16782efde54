#pragma once

#include <list>
#include <memory>
#include <string>
#include <vector>

#include "memory/shared_memory.h"

namespace troupe::collective {

/// Where in this host's shared memory an operand lies, for the other ranks to map it.
struct OperandPlace {
  int32_t pid = 0;  // 0: in memory that others cannot map
  int32_t fd = -1;
  uint64_t segmentBytes = 0;
  uint64_t offset = 0;
  char segment[40] = {};
};

/// Where `bytes` bytes of this process lie. Private memory has no place.
OperandPlace placeOf(const uint8_t* data, size_t bytes);

/// Maps operands of other ranks. Mapped segments are kept for the next operation on them, the least recently used ones
/// being let go: a freed tensor's memory may stay taken for that long.
class OperandMapper {
 public:
  /// The operand as this process sees it, until keep() lets go of it. Throws
  /// std::runtime_error when the owner has ended or released it.
  uint8_t* map(const OperandPlace& place);
  /// At most `count` segments stay mapped.
  void keep(size_t count);

 private:
  std::list<std::pair<std::string, std::shared_ptr<SharedMemory>>> segments_;  // the most recently used first
};

}  // namespace troupe::collective
