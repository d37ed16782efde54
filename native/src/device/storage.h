#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "device/cuda.h"
#include "memory/file_mapping.h"
#include "memory/populate.h"
#include "memory/shared_memory.h"
#include "store/hold.h"

namespace troupe {

enum class Device { Cpu, Cuda };

/// A block of memory that tensors view. On the CPU it is private to this process, shared with others, or part of a file;
/// what lies on a GPU can only be reached by copies and by what runs there.
class Storage {
 public:
  /// Zeroed, 64-byte aligned memory of this process, in huge pages where it fills them. They are taken when first touched.
  static std::shared_ptr<Storage> allocate(size_t bytes);
  /// Memory that other processes of this host can map. With `reserve` its pages are taken now.
  static std::shared_ptr<Storage> allocateShared(size_t bytes, bool reserve = true);
  /// The same out of the store that this process has joined; of its own where it has joined none, or that is full. Zeroed
  /// unless `isOverwritten` says that all of it will be written, and then populated. With `mustBeStored` a full store is an error.
  static std::shared_ptr<Storage> allocateStored(size_t bytes, bool isOverwritten = false, bool mustBeStored = false);
  static std::shared_ptr<Storage> open(const SharedMemoryHandle& handle);
  /// An object of a store, or where it is spilled and finds no room, a private copy of it.
  static std::shared_ptr<Storage> open(const store::StoreHandle& handle, store::ObjectId id, size_t bytes);
  /// Part of an open file, in place: see FileMapping.
  static std::shared_ptr<Storage> map(int fd, size_t offset, size_t bytes);

  /// Zeroed memory of a GPU. Throws cuda::CudaError.
  static std::shared_ptr<Storage> allocateOn(const std::shared_ptr<cuda::Gpu>& gpu, size_t bytes);

  ~Storage();
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;

  /// Populates a part of it that is about to be used, unless it has been: see PopulatedRanges. Nothing for what is mapped from
  /// a file, lies in a store, which does so itself, or on a GPU.
  void populate(size_t offset, size_t bytes);

  /// Of the CPU or of the GPU.
  uint8_t* data() const { return data_; }
  size_t bytes() const { return bytes_; }
  Device device() const { return onGpu_ ? Device::Cuda : Device::Cpu; }
  /// The GPU it lies on, or null.
  std::shared_ptr<cuda::Gpu> gpu() const { return onGpu_ ? onGpu_->gpu() : nullptr; }
  const SharedMemory* shared() const { return shared_.get(); }
  const store::Hold* stored() const { return stored_.get(); }
  /// The file it is part of, or null.
  std::shared_ptr<MappedFile> file() const { return file_ ? file_->file() : nullptr; }

 private:
  Storage(uint8_t* data, size_t bytes, std::shared_ptr<SharedMemory> shared);

  uint8_t* data_;
  size_t bytes_;
  std::shared_ptr<SharedMemory> shared_;
  std::unique_ptr<PopulatedRanges> populated_;  // of private memory
  std::shared_ptr<FileMapping> file_;
  std::unique_ptr<cuda::DeviceMemory> onGpu_;
  std::unique_ptr<store::Hold> stored_;
};

}  // namespace troupe
