#include "collective/shared/inbox.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>

namespace troupe::collective {
namespace {

constexpr size_t kPageBytes = 4096;

size_t wholePages(size_t bytes) { return (bytes + kPageBytes - 1) / kPageBytes * kPageBytes; }

}  // namespace

Inbox::Inbox(std::shared_ptr<SharedMemory> memory, int size, size_t ringBytes)
    : memory_(std::move(memory)), size_(static_cast<size_t>(size)), ringBytes_(ringBytes) {
  const size_t slots = slotsOffset(size_, ringBytes_);
  memory_->populate(slots, memory_->bytes() - slots);
}

size_t Inbox::slotsOffset(size_t size, size_t ringBytes) { return wholePages(sizeof(Head) + size * Ring::footprint(ringBytes)); }

size_t Inbox::footprint(size_t size, size_t ringBytes) { return slotsOffset(size, ringBytes) + kSlots * (kSlotHeaderBytes + kSlotBytes); }

// A zeroed segment is a valid empty inbox, so that nothing has to be constructed in it.
std::unique_ptr<Inbox> Inbox::create(int size, size_t ringBytes) {
  auto memory = SharedMemory::create(footprint(static_cast<size_t>(size), ringBytes), false);
  return std::unique_ptr<Inbox>(new Inbox(std::move(memory), size, ringBytes));
}

std::unique_ptr<Inbox> Inbox::open(const SharedMemoryHandle& handle, int size, size_t ringBytes) {
  if (handle.bytes != footprint(static_cast<size_t>(size), ringBytes)) {
    throw std::runtime_error("a rank's inbox was made for a group of another size, or for messages of another size");
  }
  return std::unique_ptr<Inbox>(new Inbox(SharedMemory::open(handle), size, ringBytes));
}

Ring Inbox::ringFrom(int rank) {
  const size_t footprint = Ring::footprint(ringBytes_), offset = sizeof(Head) + static_cast<size_t>(rank) * footprint;
  memory_->populate(offset, footprint);
  return Ring(memory_->data() + offset, ringBytes_);
}

uint8_t* Inbox::slot(uint64_t step) {
  return memory_->data() + slotsOffset(size_, ringBytes_) + step % kSlots * (kSlotHeaderBytes + kSlotBytes);
}

void Inbox::leave(const std::string& reason) {
  if (left() != nullptr) return;
  const size_t length = std::min(reason.size(), sizeof(Head::reason) - 1);
  std::memcpy(head()->reason, reason.data(), length);
  head()->reason[length] = '\0';
  head()->left.store(1, std::memory_order_release);
}

const char* Inbox::left() const { return head()->left.load(std::memory_order_acquire) != 0 ? head()->reason : nullptr; }

}  // namespace troupe::collective
