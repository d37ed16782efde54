#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace troupe::store {

/// Part of an address space: shared memory, or a file.
struct Extent {
  uint64_t offset = 0;
  uint64_t bytes = 0;
};

/// The free extents of an address space, ordered by offset, in memory handed to it. It holds no pointers, so processes can
/// share it under a lock; one that dies in the middle leaves it to be rebuilt from what is in use.
class FreeExtents {
 public:
  static size_t footprint(uint32_t capacity) { return sizeof(FreeExtents) + capacity * sizeof(Extent); }

  /// An address space of `bytes` bytes, in which at most `capacity` - 1 extents will be in use at a time.
  void reset(uint32_t capacity, uint64_t bytes);

  /// Takes the first part that is large enough. False when there is none.
  bool take(uint64_t bytes, uint64_t* offset);
  /// Gives back what was taken, joining it with its neighbours.
  void give(Extent extent);

  /// Frees all but what is in use.
  void rebuild(std::vector<Extent> used);

  /// Bytes that are free, and the largest part of them.
  uint64_t free() const;
  uint64_t largest() const;

 private:
  Extent* extents() { return reinterpret_cast<Extent*>(this + 1); }
  const Extent* extents() const { return reinterpret_cast<const Extent*>(this + 1); }

  uint64_t bytes_;
  uint32_t capacity_;
  uint32_t count_;
};

}  // namespace troupe::store
