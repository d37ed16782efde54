#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "memory/file_mapping.h"
#include "memory/shared_memory.h"

namespace troupe {

enum class Device { Cpu };

/// A block of memory that tensors view. On the CPU it is private to this process, shared with others, or part of a file.
class Storage {
 public:
  /// Zeroed, 64-byte aligned memory of this process. Pages are taken when first touched.
  static std::shared_ptr<Storage> allocate(size_t bytes);
  /// Memory that other processes of this host can map. With `reserve` its pages are taken now.
  static std::shared_ptr<Storage> allocateShared(size_t bytes, bool reserve = true);
  static std::shared_ptr<Storage> open(const SharedMemoryHandle& handle);
  /// Part of an open file, in place: see FileMapping.
  static std::shared_ptr<Storage> map(int fd, size_t offset, size_t bytes);

  ~Storage();
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;

  uint8_t* data() const { return data_; }
  size_t bytes() const { return bytes_; }
  Device device() const { return Device::Cpu; }
  const SharedMemory* shared() const { return shared_.get(); }

 private:
  Storage(uint8_t* data, size_t bytes, std::shared_ptr<SharedMemory> shared);

  uint8_t* data_;
  size_t bytes_;
  std::shared_ptr<SharedMemory> shared_;
  std::shared_ptr<FileMapping> file_;
};

}  // namespace troupe
