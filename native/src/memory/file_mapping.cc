#include "memory/file_mapping.h"

#include <cerrno>
#include <stdexcept>
#include <string>
#include <sys/mman.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>

namespace troupe {

FileMapping::FileMapping(void* pages, size_t pageBytes, uint8_t* data) : pages_(pages), pageBytes_(pageBytes), data_(data) {}

FileMapping::~FileMapping() {
  if (pages_ != nullptr) munmap(pages_, pageBytes_);
}

std::shared_ptr<FileMapping> FileMapping::open(int fd, size_t offset, size_t bytes) {
  struct stat status {};
  if (fstat(fd, &status) != 0) throw std::system_error(errno, std::generic_category(), "cannot read the size of a file to map");
  const size_t size = S_ISREG(status.st_mode) ? static_cast<size_t>(status.st_size) : 0;
  if (offset > size || bytes > size - offset) {
    throw std::out_of_range("cannot map " + std::to_string(bytes) + " bytes at " + std::to_string(offset) + " of a file of " + std::to_string(size));
  }
  if (bytes == 0) return std::shared_ptr<FileMapping>(new FileMapping(nullptr, 0, nullptr));

  const size_t before = offset % static_cast<size_t>(sysconf(_SC_PAGESIZE)), pageBytes = before + bytes;
  void* pages = mmap(nullptr, pageBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, fd, static_cast<off_t>(offset - before));
  if (pages == MAP_FAILED) throw std::system_error(errno, std::generic_category(), "cannot map " + std::to_string(bytes) + " bytes of a file");
  return std::shared_ptr<FileMapping>(new FileMapping(pages, pageBytes, static_cast<uint8_t*>(pages) + before));
}

}  // namespace troupe
