#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "memory/bus_guard.h"
#include "memory/mapped_file.h"

namespace troupe {

/// A part of a file as memory. Its pages are read when first touched and shared with every process that maps them. Writes
/// stay in this process and never reach the file. What the file loses while it is mapped reads as zeros, which
/// MappedFile::expectUnchanged() tells.
class FileMapping {
 public:
  /// Maps `bytes` bytes of an open file from `offset` on, which need not be on a page's boundary. The descriptor may be
  /// closed afterwards. Throws std::system_error, and std::out_of_range when the file is shorter than that by now.
  static std::shared_ptr<FileMapping> open(int fd, size_t offset, size_t bytes);

  ~FileMapping();
  FileMapping(const FileMapping&) = delete;
  FileMapping& operator=(const FileMapping&) = delete;

  uint8_t* data() const { return data_; }
  const std::shared_ptr<MappedFile>& file() const { return file_; }

 private:
  FileMapping(std::shared_ptr<MappedFile> file, void* pages, size_t pageBytes, uint8_t* data);

  void* pages_;
  size_t pageBytes_;
  uint8_t* data_;
  std::shared_ptr<MappedFile> file_;
  std::unique_ptr<BusGuard> guard_;
};

}  // namespace troupe
