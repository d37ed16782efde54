#pragma once

#include <cstdint>
#include <sys/types.h>

namespace troupe {

/// Where another process of this host wakes an event loop: a pipe in the owner's file table, and its inode as a check that
/// the number still means that pipe.
struct WakerAddress {
  pid_t pid = 0;
  int fd = -1;
  uint64_t inode = 0;
};

/// A pipe that an event loop watches. Others write to it through /proc, so that it ends with the process that made it.
class Waker {
 public:
  /// Throws std::system_error when the process may open no more files.
  Waker();
  ~Waker();
  Waker(const Waker&) = delete;
  Waker& operator=(const Waker&) = delete;

  /// The end of the pipe that the event loop watches. It belongs to who watches it, and is not closed here.
  int readEnd() const { return readEnd_; }
  WakerAddress address() const { return address_; }

 private:
  int readEnd_;
  WakerAddress address_;
};

/// The way to wake another process's event loop, opened when it is first needed.
class RemoteWaker {
 public:
  RemoteWaker() = default;
  ~RemoteWaker();
  RemoteWaker(const RemoteWaker&) = delete;
  RemoteWaker& operator=(const RemoteWaker&) = delete;

  void wake(const WakerAddress& address);

 private:
  uint64_t inode_ = 0;
  int fd_ = -1;
};

}  // namespace troupe
