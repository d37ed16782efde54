#include "memory/file_mapping.h"

#include <cerrno>
#include <stdexcept>
#include <string>
#include <sys/mman.h>
#include <system_error>
#include <unistd.h>

namespace troupe {

FileMapping::FileMapping(std::shared_ptr<MappedFile> file, void* pages, size_t pageBytes, uint8_t* data)
    : pages_(pages), pageBytes_(pageBytes), data_(data), file_(std::move(file)) {}

FileMapping::~FileMapping() {
  guard_.reset();
  if (pages_ != nullptr) munmap(pages_, pageBytes_);
}

std::shared_ptr<FileMapping> FileMapping::open(int fd, size_t offset, size_t bytes) {
  const auto file = MappedFile::of(fd);
  const size_t size = file->size();
  if (offset > size || bytes > size - offset) {
    throw std::out_of_range("cannot map " + std::to_string(bytes) + " bytes at " + std::to_string(offset) + " of a file of " +
                            std::to_string(size));
  }
  if (bytes == 0) return std::shared_ptr<FileMapping>(new FileMapping(file, nullptr, 0, nullptr));

  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE)), before = offset % page,
               pageBytes = (before + bytes + page - 1) / page * page;
  void* pages = mmap(nullptr, pageBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, fd, static_cast<off_t>(offset - before));
  if (pages == MAP_FAILED)
    throw std::system_error(errno, std::generic_category(), "cannot map " + std::to_string(bytes) + " bytes of a file");
  auto mapping = std::shared_ptr<FileMapping>(new FileMapping(file, pages, pageBytes, static_cast<uint8_t*>(pages) + before));
  mapping->guard_ = std::make_unique<BusGuard>(pages, pageBytes, file->touchedBeyondEnd());
  return mapping;
}

}  // namespace troupe
