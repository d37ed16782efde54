#include "device/storage.h"

#include <stdexcept>
#include <string>
#include <sys/mman.h>

namespace troupe {

namespace {

constexpr size_t kPage = 4096;
constexpr size_t kHugePage = 2 << 20;

// Weights are streamed through: fewer, larger pages mean fewer misses in the table that translates addresses, and fewer faults.
uint8_t* reservePrivate(size_t bytes) {
  const size_t spare = bytes >= kHugePage ? kHugePage : 0;  // so that it can begin where a huge page may
  void* address = mmap(nullptr, bytes + spare, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (address == MAP_FAILED) throw std::runtime_error("cannot allocate " + std::to_string(bytes) + " bytes of memory");
  auto* start = static_cast<uint8_t*>(address);
  if (spare == 0) return start;
  const size_t before = (kHugePage - reinterpret_cast<uintptr_t>(start) % kHugePage) % kHugePage;
  const size_t kept = (bytes + kPage - 1) / kPage * kPage;
  if (before > 0) munmap(start, before);
  munmap(start + before + kept, bytes + spare - before - kept);
  madvise(start + before, bytes, MADV_HUGEPAGE);
  return start + before;
}

}  // namespace

Storage::Storage(uint8_t* data, size_t bytes, std::shared_ptr<SharedMemory> shared)
    : data_(data), bytes_(bytes), shared_(std::move(shared)) {}

Storage::~Storage() {
  if (!shared_ && !file_ && !onGpu_ && !stored_ && data_ != nullptr) munmap(data_, bytes_);
}

std::shared_ptr<Storage> Storage::allocate(size_t bytes) {
  if (bytes == 0) return std::shared_ptr<Storage>(new Storage(nullptr, 0, nullptr));
  auto storage = std::shared_ptr<Storage>(new Storage(reservePrivate(bytes), bytes, nullptr));
  storage->populated_ = std::make_unique<PopulatedRanges>(storage->data(), bytes);
  return storage;
}

void Storage::populate(size_t offset, size_t bytes) {
  if (shared_) shared_->populate(offset, bytes);
  if (populated_) populated_->ensure(offset, bytes);
}

std::shared_ptr<Storage> Storage::allocateShared(size_t bytes, bool reserve) {
  auto memory = SharedMemory::create(bytes, reserve);
  return std::shared_ptr<Storage>(new Storage(memory->data(), bytes, memory));
}

std::shared_ptr<Storage> Storage::open(const SharedMemoryHandle& handle) {
  auto memory = SharedMemory::open(handle);
  return std::shared_ptr<Storage>(new Storage(memory->data(), memory->bytes(), memory));
}

std::shared_ptr<Storage> Storage::allocateStored(size_t bytes, bool isOverwritten, bool mustBeStored) {
  const auto ofItsOwn = [&] {
    auto storage = allocateShared(bytes);
    if (isOverwritten) storage->populate(0, bytes);
    return storage;
  };
  auto store = store::Store::current();
  if (!store || bytes == 0) return ofItsOwn();
  uint8_t* data = nullptr;
  store::ObjectId id;
  try {
    id = store->create(bytes, !isOverwritten, &data);
  } catch (const store::StoreFullError&) {
    if (mustBeStored) throw;
    return ofItsOwn();
  }
  auto storage = std::shared_ptr<Storage>(new Storage(data, bytes, nullptr));
  storage->stored_ = std::make_unique<store::Hold>(std::move(store), id, data);
  return storage;
}

std::shared_ptr<Storage> Storage::open(const store::StoreHandle& handle, store::ObjectId id, size_t bytes) {
  const auto store = store::Store::reach(handle);
  std::unique_ptr<store::Hold> hold;
  try {
    hold = std::make_unique<store::Hold>(store, id, true);
  } catch (const store::StoreFullError&) {
    const store::Hold meanwhile(store, id, false);
    auto copy = allocate(bytes);
    if (store->copySpilled(id, copy->data(), bytes)) return copy;
    hold = std::make_unique<store::Hold>(store, id, true);
  }
  if (bytes > hold->store().bytesOf(id)) throw std::runtime_error("an object of the store is smaller than its handle says");
  auto storage = std::shared_ptr<Storage>(new Storage(hold->data(), bytes, nullptr));
  storage->stored_ = std::move(hold);
  return storage;
}

std::shared_ptr<Storage> Storage::map(int fd, size_t offset, size_t bytes) {
  auto file = FileMapping::open(fd, offset, bytes);
  auto storage = std::shared_ptr<Storage>(new Storage(file->data(), bytes, nullptr));
  storage->file_ = file;
  return storage;
}

std::shared_ptr<Storage> Storage::allocateOn(const std::shared_ptr<cuda::Gpu>& gpu, size_t bytes) {
  auto memory = std::make_unique<cuda::DeviceMemory>(gpu, bytes);
  // NOLINTNEXTLINE(performance-no-int-to-ptr): an address on a GPU, which nothing here follows
  auto storage = std::shared_ptr<Storage>(new Storage(reinterpret_cast<uint8_t*>(memory->pointer()), bytes, nullptr));
  storage->onGpu_ = std::move(memory);
  return storage;
}

}  // namespace troupe
