#include "device/storage.h"

#include <new>
#include <sys/mman.h>

namespace troupe {

namespace {

constexpr size_t kHugePage = 2 << 20;

}  // namespace

Storage::Storage(uint8_t* data, size_t bytes, std::shared_ptr<SharedMemory> shared)
    : data_(data), bytes_(bytes), shared_(std::move(shared)) {}

Storage::~Storage() {
  if (!shared_ && !file_ && !onGpu_ && data_ != nullptr) munmap(data_, bytes_);
}

std::shared_ptr<Storage> Storage::allocate(size_t bytes) {
  if (bytes == 0) return std::shared_ptr<Storage>(new Storage(nullptr, 0, nullptr));
  void* address = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (address == MAP_FAILED) throw std::bad_alloc();
  // Weights are streamed through: fewer, larger pages mean fewer misses in the table that translates addresses.
  if (bytes >= kHugePage) madvise(address, bytes, MADV_HUGEPAGE);
  return std::shared_ptr<Storage>(new Storage(static_cast<uint8_t*>(address), bytes, nullptr));
}

std::shared_ptr<Storage> Storage::allocateShared(size_t bytes, bool reserve) {
  auto memory = SharedMemory::create(bytes, reserve);
  return std::shared_ptr<Storage>(new Storage(memory->data(), bytes, memory));
}

std::shared_ptr<Storage> Storage::open(const SharedMemoryHandle& handle) {
  auto memory = SharedMemory::open(handle);
  return std::shared_ptr<Storage>(new Storage(memory->data(), memory->bytes(), memory));
}

std::shared_ptr<Storage> Storage::map(int fd, size_t offset, size_t bytes) {
  auto file = FileMapping::open(fd, offset, bytes);
  const auto storage = std::shared_ptr<Storage>(new Storage(file->data(), bytes, nullptr));
  storage->file_ = file;
  return storage;
}

std::shared_ptr<Storage> Storage::allocateOn(const std::shared_ptr<cuda::Gpu>& gpu, size_t bytes) {
  auto memory = std::make_unique<cuda::DeviceMemory>(gpu, bytes);
  const auto storage = std::shared_ptr<Storage>(new Storage(reinterpret_cast<uint8_t*>(memory->pointer()), bytes, nullptr));
  storage->onGpu_ = std::move(memory);
  return storage;
}

}  // namespace troupe
