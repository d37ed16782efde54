#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "memory/shared_memory.h"
#include "sync/backoff.h"
#include "sync/eventcount.h"
#include "sync/ring.h"

namespace troupe::collective {

/// The memory of one rank that the other ranks of its host map: an eventcount that wakes it, a ring of messages from each of
/// them, and the slots that the rank stages its part of collectives in.
class Inbox {
 public:
  static constexpr size_t kRingBytes = 1 << 19;  // unless a group asks for others
  static constexpr size_t kSlots = 4;
  static constexpr size_t kSlotBytes = 256 << 10;
  static constexpr size_t kSlotHeaderBytes = 64;

  /// How many steps of collectives the rank has published, on which CPU, and what it waits for while it sleeps.
  struct Progress {
    alignas(64) std::atomic<uint64_t> clock{0};
    std::atomic<int32_t> cpu{0};
    alignas(64) std::atomic<uint64_t> awaited{0};
  };

  static std::unique_ptr<Inbox> create(int size, size_t ringBytes);
  static std::unique_ptr<Inbox> open(const SharedMemoryHandle& handle, int size, size_t ringBytes);

  Eventcount& events() { return head()->events; }
  Progress& progress() { return head()->progress; }
  Ring ringFrom(int rank);
  /// kSlotHeaderBytes, then kSlotBytes. Step `step` of the group's collectives is staged in slot `step % kSlots`.
  uint8_t* slot(uint64_t step);
  SharedMemoryHandle handle() const { return memory_->handle(); }

  /// Tells those that map this inbox that its rank has left, and why. Only the owner calls it.
  void leave(const std::string& reason);
  /// The owner's reason for leaving, or null while it is there.
  const char* left() const;

 private:
  struct Head {
    alignas(64) Eventcount events;
    Progress progress;
    alignas(64) std::atomic<uint32_t> left;
    char reason[252];
  };

  Inbox(std::shared_ptr<SharedMemory> memory, int size, size_t ringBytes);
  static size_t footprint(size_t size, size_t ringBytes);
  static size_t slotsOffset(size_t size, size_t ringBytes);
  Head* head() const { return reinterpret_cast<Head*>(memory_->data()); }

  std::shared_ptr<SharedMemory> memory_;
  size_t size_, ringBytes_;
};

}  // namespace troupe::collective
