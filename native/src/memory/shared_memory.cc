#include "memory/shared_memory.h"

#include <atomic>
#include <cerrno>
#include <fcntl.h>
#include <map>
#include <mutex>
#include <stdexcept>
#include <sys/mman.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>

namespace troupe {
namespace {

std::system_error systemError(const std::string& what) { return std::system_error(errno, std::generic_category(), what); }

std::string nextName() {
  static std::atomic<uint64_t> count{0};
  return "troupe-" + std::to_string(getpid()) + "-" + std::to_string(count.fetch_add(1));
}

std::string fileBehind(const std::string& path) {
  char target[256];
  const ssize_t length = readlink(path.c_str(), target, sizeof target);
  return length < 0 ? std::string() : std::string(target, static_cast<size_t>(length));
}

/// Every mapped segment of this process, by where it begins.
struct Mapped {
  std::mutex mutex;
  std::map<uintptr_t, SharedMemory*> segments;
};

Mapped& mapped() {
  static auto* const all = new Mapped;  // outlives whatever the process still holds when it ends
  return *all;
}

}  // namespace

SharedMemory::SharedMemory(int fd, std::string name, size_t bytes) : fd_(fd), name_(std::move(name)), bytes_(bytes) {
  if (bytes == 0) return;
  void* address = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (address == MAP_FAILED) {
    const auto error = systemError("cannot map " + std::to_string(bytes) + " bytes of shared memory");
    close(fd);
    throw error;
  }
  data_ = static_cast<uint8_t*>(address);
  populated_ = std::make_unique<PopulatedRanges>(data_, bytes);
  std::lock_guard<std::mutex> lock(mapped().mutex);
  mapped().segments[reinterpret_cast<uintptr_t>(data_)] = this;
}

SharedMemory::~SharedMemory() {
  if (data_ != nullptr) {
    std::lock_guard<std::mutex> lock(mapped().mutex);
    mapped().segments.erase(reinterpret_cast<uintptr_t>(data_));
    munmap(data_, bytes_);
  }
  close(fd_);
}

std::shared_ptr<SharedMemory> SharedMemory::create(size_t bytes, bool reserve) {
  const std::string name = nextName();
  const int fd = memfd_create(name.c_str(), MFD_CLOEXEC);
  if (fd < 0) throw systemError("cannot create shared memory");
  const bool sized =
      reserve && bytes > 0 ? posix_fallocate(fd, 0, static_cast<off_t>(bytes)) == 0 : ftruncate(fd, static_cast<off_t>(bytes)) == 0;
  if (!sized) {
    close(fd);
    errno = ENOMEM;
    throw systemError("cannot reserve " + std::to_string(bytes) + " bytes of shared memory");
  }
  return std::shared_ptr<SharedMemory>(new SharedMemory(fd, name, bytes));
}

std::shared_ptr<SharedMemory> SharedMemory::open(const SharedMemoryHandle& handle) {
  const std::string path = "/proc/" + std::to_string(handle.pid) + "/fd/" + std::to_string(handle.fd);
  const std::string expected = "/memfd:" + handle.name + " (deleted)";
  const std::string gone =
      "shared memory " + handle.name + " is gone: process " + std::to_string(handle.pid) + ", which owns it, has ended or released it";
  if (fileBehind(path) != expected) throw std::runtime_error(gone);
  const int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
  if (fd < 0) throw std::runtime_error(gone);
  struct stat status {};
  if (fileBehind("/proc/self/fd/" + std::to_string(fd)) != expected || fstat(fd, &status) != 0 ||
      static_cast<size_t>(status.st_size) < handle.bytes) {
    close(fd);
    throw std::runtime_error(gone);
  }
  return std::shared_ptr<SharedMemory>(new SharedMemory(fd, handle.name, handle.bytes));
}

std::shared_ptr<SharedMemory> SharedMemory::around(const void* address, size_t bytes) {
  const auto begin = reinterpret_cast<uintptr_t>(address);
  std::lock_guard<std::mutex> lock(mapped().mutex);
  auto next = mapped().segments.upper_bound(begin);
  if (next == mapped().segments.begin()) return nullptr;
  SharedMemory* segment = std::prev(next)->second;
  const size_t offset = begin - reinterpret_cast<uintptr_t>(segment->data_);
  const bool within = offset <= segment->bytes_ && bytes <= segment->bytes_ - offset;
  return within ? segment->weak_from_this().lock() : nullptr;
}

void SharedMemory::populateAround(const void* address, size_t bytes) {
  if (const auto segment = around(address, bytes))
    segment->populate(static_cast<size_t>(static_cast<const uint8_t*>(address) - segment->data()), bytes);
}

SharedMemoryHandle SharedMemory::handle() const { return {getpid(), fd_, name_, bytes_}; }

}  // namespace troupe
