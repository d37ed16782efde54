#include <csignal>
#include <cstdio>
#include <fcntl.h>
#include <stdexcept>
#include <string>
#include <sys/mman.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

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
  const auto first = FileMapping::open(fd, 8'191, 11'809), second = FileMapping::open(fd, 0, 20'000),
             none = FileMapping::open(fd, 20'000, 0);
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

namespace {

/// What is said of the file of a mapping, or nothing.
std::string complaint(const FileMapping& mapping) {
  try {
    mapping.file()->expectUnchanged();
    return "";
  } catch (const std::runtime_error& error) {
    return error.what();
  }
}

bool says(const FileMapping& mapping, const std::string& text) { return complaint(mapping).find(text) != std::string::npos; }

/// Whether a bus error ends a child that runs `body`.
template <class Body>
bool isEndedByBusError(Body&& body) {
  const pid_t child = fork();
  if (child == 0) {
    body();
    _exit(0);
  }
  int status = 0;
  CHECK(waitpid(child, &status, 0) == child);
  return WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS;
}

}  // namespace

TEST("a mapping of a file that was cut reads zeros there, also in several threads, and its file says how long it was and is") {
  const int fd = patternedFile(1'000'000);
  const auto mapping = FileMapping::open(fd, 100, 999'900), other = FileMapping::open(fd, 0, 1'000'000);
  CHECK(mapping->file() == other->file() && complaint(*mapping).empty());
  CHECK(ftruncate(fd, 5'000) == 0);
  CHECK(says(*mapping, "was 1000000 bytes when it was opened and is 5000 now"));
  std::vector<std::thread> readers;
  for (int i = 0; i < 4; i++) {
    readers.emplace_back([&] {
      for (size_t at = 8'192; at < 999'900; at++) CHECK(mapping->data()[at] == 0);
      CHECK(other->data()[999'999] == 0);
    });
  }
  for (auto& reader : readers) reader.join();
  CHECK(mapping->data()[0] == 100);
  CHECK(ftruncate(fd, 1'000'000) == 0);
  CHECK(says(*other, "was written to since it was opened"));
  CHECK(FileMapping::open(fd, 0, 1'000'000)->file() != other->file());
  close(fd);
}

TEST("a file that was written to in place says so to those who map it") {
  const int fd = patternedFile(10'000);
  const auto mapping = FileMapping::open(fd, 0, 10'000);
  usleep(20'000);  // times of files advance with the kernel's clock
  CHECK(pwrite(fd, "x", 1, 9) == 1);
  CHECK(says(*mapping, "was written to since it was opened"));
  close(fd);
}

TEST("bus errors of other memory end the process as ever") {
  const int fd = patternedFile(10'000), other = patternedFile(10'000);
  const auto touchOther = [&] {
    auto* page = static_cast<volatile uint8_t*>(mmap(nullptr, 4'096, PROT_READ, MAP_SHARED, other, 0));
    CHECK(ftruncate(other, 0) == 0);
    static_cast<void>(page[0]);
  };
  const auto mapping = FileMapping::open(fd, 0, 10'000);
  CHECK(!isEndedByBusError([] {}));
  CHECK(isEndedByBusError(touchOther));
  CHECK(isEndedByBusError([] { raise(SIGBUS); }));
  close(fd);
  close(other);
}
