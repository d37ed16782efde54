#pragma once

// What a kernel's accesses to memory are held to: that they lie in allocations and shared memory, at multiples of what is accessed at
// once, and that of two threads which access the same bytes, one of them writing, one waited for the other.

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "device/interface.h"

namespace gpu_double {

/// When a thread did something: its barriers so far, counted over all blocks and kernels that are executed, and its warp's.
struct Moment {
  uint32_t phase;      // changes at every barrier of a block, and at the begin of every block
  uint32_t warpPhase;  // changes whenever all of a warp wait for each other
  uint32_t thread;     // of the block
};

/// Who accessed a word of memory last. A word is four bytes.
struct AccessRecord {
  uint32_t phase = 0;
  uint32_t thread : 10, warpPhase : 14, bytes : 4, isAtomic : 1, isOfWarp : 1, isOfBlock : 1, isOfGrid : 1;  // by several threads of these
};
struct WordRecord {
  AccessRecord write, read;
};

/// A range of memory that a kernel may access, of device memory or of the shared memory of its block.
struct Range {
  uintptr_t begin = 0;
  size_t bytes = 0;
  WordRecord* records = nullptr;
  bool isShared = false;
};

/// What is wrong with an access; `result` is the driver's error, 0 if nothing is.
struct Fault {
  int result = 0;
  std::string text;
};

/// The accesses of one launch.
class Checker {
 public:
  void beginLaunch();
  void beginBlock();
  void passBarrier() { phase_++; }
  uint32_t phase() const { return phase_; }

  /// The shared memory of the block: statics, then `dynamicBytes` of dynamic memory.
  void setShared(std::vector<Range> shared) { shared_ = std::move(shared); }
  Fault check(uintptr_t address, size_t bytes, Access kind, bool mustBeAligned, Moment now);

 private:
  const Range* find(uintptr_t address);
  bool race(const AccessRecord& before, unsigned bytes, Access kind, Moment now) const;
  void note(AccessRecord& record, unsigned bytes, Access kind, Moment now) const;

  uint32_t phase_ = 1, firstOfLaunch_ = 1, firstOfBlock_ = 1;
  std::vector<Range> shared_, allocations_;  // the latter in the order of their addresses
  uint64_t version_ = 0;
  const Range* last_ = nullptr;
};

/// The allocations that there are as ranges of where they really lie, if they are others than at `version`, which is brought up to date.
void updateRanges(std::vector<Range>& ranges, uint64_t& version);

/// Records for a range of so many bytes, none of which was accessed; they take memory when first used.
WordRecord* makeRecords(size_t bytes);
void dropRecords(WordRecord* records, size_t bytes);

}  // namespace gpu_double
