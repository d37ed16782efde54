#include "sync/waker.h"

#include <cerrno>
#include <fcntl.h>
#include <string>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>

namespace troupe {

Waker::Waker() {
  int ends[2];
  if (pipe2(ends, O_NONBLOCK | O_CLOEXEC) != 0) throw std::system_error(errno, std::generic_category(), "cannot make a pipe");
  struct stat status {};
  fstat(ends[1], &status);
  readEnd_ = ends[0];
  address_ = {getpid(), ends[1], status.st_ino};
}

Waker::~Waker() { close(address_.fd); }

RemoteWaker::~RemoteWaker() {
  if (fd_ >= 0) close(fd_);
}

void RemoteWaker::wake(const WakerAddress& address) {
  if (address.inode != inode_) {
    if (fd_ >= 0) close(fd_);
    const std::string path = "/proc/" + std::to_string(address.pid) + "/fd/" + std::to_string(address.fd);
    fd_ = open(path.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    struct stat status {};
    if (fd_ >= 0 && (fstat(fd_, &status) != 0 || status.st_ino != address.inode)) {
      close(fd_);
      fd_ = -1;
    }
    inode_ = address.inode;
  }
  // A full pipe will wake the loop anyway, and a process that has ended needs no waking.
  if (fd_ >= 0 && write(fd_, "", 1) < 0) return;
}

}  // namespace troupe
