#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "channel/doorbell.h"
#include "channel/ring.h"
#include "memory/shared_memory.h"

namespace troupe::collective {

/// What one rank receives through: a doorbell that wakes it and a ring from each other rank. The rank creates it, the
/// others of its host map it. Rings from ranks of other hosts are filled by this process's own TCP pump.
class Inbox {
 public:
  static constexpr size_t kRingBytes = 1 << 19;

  static std::unique_ptr<Inbox> create(int size);
  static std::unique_ptr<Inbox> open(const SharedMemoryHandle& handle, int size);

  Doorbell& doorbell() { return *reinterpret_cast<Doorbell*>(memory_->data() + offsetof(Head, doorbell)); }
  Ring ringFrom(int rank);
  SharedMemoryHandle handle() const { return memory_->handle(); }

  /// Tells those that map this inbox that its rank has left, and why. Only the owner calls it.
  void leave(const std::string& reason);
  /// The owner's reason for leaving, or null while it is there.
  const char* left() const;

 private:
  struct Head {
    alignas(64) Doorbell doorbell;
    alignas(64) std::atomic<uint32_t> left;
    char reason[252];
  };

  Inbox(std::shared_ptr<SharedMemory> memory) : memory_(std::move(memory)) {}
  static size_t footprint(int size);
  Head* head() const { return reinterpret_cast<Head*>(memory_->data()); }

  std::shared_ptr<SharedMemory> memory_;
};

}  // namespace troupe::collective
