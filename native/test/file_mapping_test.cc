#include <cstdio>
#include <fcntl.h>
#include <stdexcept>
#include <string>
#include <unistd.h>

#include "check.h"
#include "memory/file_mapping.h"

using troupe::FileMapping;

namespace {

/// A file of `bytes` bytes, each its position modulo 251, which has no name any more.
int patternedFile(size_t bytes) {
  char path[] = "/tmp/troupe-mapping-XXXXXX";
  const int fd = mkstemp(path);
  CHECK(fd >= 0 && unlink(path) == 0);
  std::string content(bytes, '\0');
  for (size_t i = 0; i < bytes; i++) content[i] = static_cast<char>(i % 251);
  CHECK(write(fd, content.data(), bytes) == static_cast<ssize_t>(bytes));
  return fd;
}

bool refused(int fd, size_t offset, size_t bytes) {
  try {
    FileMapping::open(fd, offset, bytes);
    return false;
  } catch (const std::out_of_range&) {
    return true;
  }
}

}  // namespace

TEST("a mapping holds the file's bytes from any offset on, after the file is closed, and writes do not reach it") {
  const int fd = patternedFile(20'000);
  const auto first = FileMapping::open(fd, 8'191, 11'809), second = FileMapping::open(fd, 0, 20'000), none = FileMapping::open(fd, 20'000, 0);
  for (size_t i = 0; i < 11'809; i++) CHECK(first->data()[i] == (8'191 + i) % 251);
  first->data()[0] = 255;
  CHECK(second->data()[8'191] == 8'191 % 251);
  uint8_t stored = 0;
  CHECK(pread(fd, &stored, 1, 8'191) == 1 && stored == 8'191 % 251);
  close(fd);
  CHECK(second->data()[19'999] == 19'999 % 251);
}

TEST("a mapping that reaches past the end of its file is refused, also when the file was cut after it was opened") {
  const int fd = patternedFile(1'000);
  CHECK(refused(fd, 0, 1'001));
  CHECK(refused(fd, 1'001, 0));
  CHECK(refused(fd, 1, SIZE_MAX));
  CHECK(ftruncate(fd, 500) == 0);
  CHECK(refused(fd, 0, 501) && !refused(fd, 0, 500));
  close(fd);
}
