#include "store/spill_file.h"

#include <cerrno>
#include <fcntl.h>
#include <system_error>
#include <unistd.h>

namespace troupe::store {
namespace {

/// Moves all bytes by `step(done, left)`, which moves some and says how many, as pread() does.
template <class Step>
bool moveAll(uint64_t bytes, Step&& step) {
  for (uint64_t done = 0; done < bytes;) {
    const ssize_t moved = step(done, bytes - done);
    if (moved < 0 && errno == EINTR) continue;
    if (moved <= 0) return false;
    done += static_cast<uint64_t>(moved);
  }
  return true;
}

}  // namespace

SpillFile SpillFile::make(const std::string& folder) {
  const int fd = ::open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (fd < 0) throw std::system_error(errno, std::generic_category(), "cannot make a spill file in " + folder);
  return SpillFile(fd);
}

SpillFile SpillFile::open(pid_t pid, int fd) {
  const std::string path = "/proc/" + std::to_string(pid) + "/fd/" + std::to_string(fd);
  const int own = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
  if (own < 0) throw std::system_error(errno, std::generic_category(), "cannot open the spill file of the object store");
  return SpillFile(own);
}

SpillFile::~SpillFile() {
  if (fd_ >= 0) close(fd_);
}

bool SpillFile::read(uint8_t* to, uint64_t bytes, uint64_t at) const {
  return moveAll(bytes, [&](uint64_t done, uint64_t left) { return pread(fd_, to + done, left, static_cast<off_t>(at + done)); });
}

bool SpillFile::write(const uint8_t* from, uint64_t bytes, uint64_t at) const {
  return moveAll(bytes, [&](uint64_t done, uint64_t left) { return pwrite(fd_, from + done, left, static_cast<off_t>(at + done)); });
}

}  // namespace troupe::store
