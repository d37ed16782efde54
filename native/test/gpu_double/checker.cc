#include "checker.h"

#include <algorithm>
#include <cstring>
#include <sys/mman.h>

#include "cuda_double.h"

namespace gpu_double {
namespace {

size_t wordsOf(size_t bytes) { return bytes / 4 + 2; }

std::string describe(const char* what, size_t bytes, Access kind) {
  static const char* const kinds[] = {"read", "write", "atomic access"};
  return std::string(what) + " " + kinds[static_cast<size_t>(kind)] + " of " + std::to_string(bytes) + " bytes";
}

}  // namespace

WordRecord* makeRecords(size_t bytes) {
  void* mapped =
      mmap(nullptr, wordsOf(bytes) * sizeof(WordRecord), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return mapped == MAP_FAILED ? nullptr : static_cast<WordRecord*>(mapped);
}

void dropRecords(WordRecord* records, size_t bytes) {
  if (records != nullptr) munmap(records, wordsOf(bytes) * sizeof(WordRecord));
}

void Checker::beginLaunch() {
  updateRanges(allocations_, version_);
  last_ = nullptr;
  firstOfLaunch_ = ++phase_;
}

void Checker::beginBlock() { firstOfBlock_ = ++phase_; }

const Range* Checker::find(uintptr_t address) {
  if (last_ != nullptr && address - last_->begin < last_->bytes) return last_;
  for (const auto& range : shared_) {
    if (address - range.begin < range.bytes) return last_ = &range;
  }
  auto next = std::upper_bound(allocations_.begin(), allocations_.end(), address,
                               [](uintptr_t looked, const Range& range) { return looked < range.begin; });
  if (next == allocations_.begin()) return nullptr;
  const Range& found = *std::prev(next);
  return address - found.begin < found.bytes ? last_ = &found : nullptr;
}

Fault Checker::check(uintptr_t address, size_t bytes, Access kind, bool mustBeAligned, Moment now) {
  const Range* range = find(address);
  if (range == nullptr || bytes > range->bytes - (address - range->begin)) {
    std::string where = "outside of every allocation and of shared memory";
    if (range != nullptr) where = "across the end of what has " + std::to_string(range->bytes) + " bytes";
    const auto before = std::upper_bound(allocations_.begin(), allocations_.end(), address,
                                         [](uintptr_t looked, const Range& other) { return looked < other.begin; });
    if (range == nullptr && before != allocations_.begin()) {
      const Range& nearest = *std::prev(before);
      const size_t past = address - nearest.begin - nearest.bytes;
      if (past < 65536)
        where = std::to_string(past) + " bytes past the end of an allocation of " + std::to_string(nearest.bytes) + " bytes";
    }
    return {kCudaIllegalAddress, describe("out-of-bounds", bytes, kind) + ", " + where};
  }
  const size_t offset = address - range->begin;
  const std::string in = range->isShared ? "of shared memory" : "of an allocation of " + std::to_string(range->bytes) + " bytes";
  if (mustBeAligned && address % bytes != 0)
    return {kCudaMisalignedAddress, describe("misaligned", bytes, kind) + " at byte " + std::to_string(offset) + " " + in};

  for (size_t at = offset; at < offset + bytes;) {
    const size_t end = std::min(offset + bytes, (at / 4 + 1) * 4);
    const unsigned mask = ((1u << (end - at)) - 1) << (at % 4);
    WordRecord& word = range->records[at / 4];
    if (range->isShared && std::max(word.write.phase, word.read.phase) < firstOfBlock_) word = {};  // of another block's shared memory
    if (race(word.write, mask, kind, now) || (kind != Access::Read && race(word.read, mask, kind, now))) {
      const AccessRecord& other = race(word.write, mask, kind, now) ? word.write : word.read;
      const std::string who = other.isOfGrid || other.phase < firstOfBlock_ ? "a thread of another block"
                                                                            : "thread " + std::to_string(other.thread) + " of the block";
      return {kCudaLaunchFailed, describe("unsynchronised", bytes, kind) + " at byte " + std::to_string(at) + " " + in + ", which " + who +
                                     (&other == &word.write ? " wrote" : " read") + " with no barrier between them"};
    }
    if (kind == Access::Read && range->isShared && (word.write.phase < firstOfBlock_ || (mask & ~word.write.bytes) != 0))
      return {kCudaLaunchFailed, describe("uninitialised", bytes, kind) + " at byte " + std::to_string(at) +
                                     " of shared memory, which no thread of the block has written"};
    note(kind == Access::Read ? word.read : word.write, mask, kind, now);
    at = end;
  }
  return {};
}

/// Whether an access before was by another thread that this one did not wait for, to some of the same bytes.
bool Checker::race(const AccessRecord& before, unsigned bytes, Access kind, Moment now) const {
  if (before.phase < firstOfLaunch_ || (before.bytes & bytes) == 0 || (before.isAtomic && kind == Access::Atomic)) return false;
  if (before.isOfGrid || before.phase < firstOfBlock_) return true;
  if (before.phase < now.phase) return false;
  if (before.isOfBlock) return true;
  const bool isWarps = before.thread / 32 == now.thread / 32;
  if (isWarps && before.warpPhase != (now.warpPhase & 0x3fff)) return false;
  return before.isOfWarp || before.thread != now.thread;
}

void Checker::note(AccessRecord& record, unsigned bytes, Access kind, Moment now) const {
  AccessRecord next{};
  next.phase = now.phase;
  next.thread = now.thread & 1023;
  next.warpPhase = now.warpPhase & 0x3fff;
  next.bytes = bytes & 15;
  next.isAtomic = kind == Access::Atomic;
  if (record.phase >= firstOfLaunch_) {
    const bool isOfBlock = record.phase >= firstOfBlock_;
    if (record.isOfGrid || !isOfBlock) next.isOfGrid = kind != Access::Write;
    if (isOfBlock) next.bytes |= record.bytes;  // so many are written; who wrote first is forgotten
    if (record.phase == now.phase && kind != Access::Write) {
      const bool isWarps = record.thread / 32 == now.thread / 32;
      next.isOfBlock = record.isOfBlock || !isWarps;
      next.isOfWarp = record.warpPhase == next.warpPhase && (record.isOfWarp || record.thread != next.thread);
    }
  }
  record = next;
}

}  // namespace gpu_double
