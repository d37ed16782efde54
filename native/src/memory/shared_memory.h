#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <sys/types.h>

#include "memory/populate.h"

namespace troupe {

/// The handle by which another process of this host maps a SharedMemory: the owner's open file, and its name as a check that
/// the number still means that file.
struct SharedMemoryHandle {
  pid_t pid = 0;
  int fd = -1;
  std::string name;
  size_t bytes = 0;
};

/// Memory that processes of one host map together. It has no path: others open it through the owner's file table while
/// the owner lives, and the kernel frees it when the last process that maps it ends, however it ends.
class SharedMemory : public std::enable_shared_from_this<SharedMemory> {
 public:
  /// Zeroed memory of `bytes` bytes. With `reserve` its pages are taken now, so that a full host fails here and not
  /// with a signal at some later write. Throws std::system_error.
  static std::shared_ptr<SharedMemory> create(size_t bytes, bool reserve);

  /// Maps another process's memory. Throws std::runtime_error when the owner has ended or closed it.
  static std::shared_ptr<SharedMemory> open(const SharedMemoryHandle& handle);

  /// The segment of this process that `bytes` bytes at `address` lie in, or null if they lie in none.
  static std::shared_ptr<SharedMemory> around(const void* address, size_t bytes);

  /// Populates these bytes if they lie in a segment of this process.
  static void populateAround(const void* address, size_t bytes);

  ~SharedMemory();
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;

  uint8_t* data() const { return data_; }
  size_t bytes() const { return bytes_; }
  int fd() const { return fd_; }
  SharedMemoryHandle handle() const;

  /// Populates a part of it that is about to be used: see PopulatedRanges::ensure().
  void populate(size_t offset, size_t bytes, uint8_t epoch = 1) {
    if (populated_) populated_->ensure(offset, bytes, epoch);
  }

 private:
  SharedMemory(int fd, std::string name, size_t bytes);

  int fd_;
  std::string name_;
  size_t bytes_;
  uint8_t* data_ = nullptr;
  std::unique_ptr<PopulatedRanges> populated_;
};

}  // namespace troupe
