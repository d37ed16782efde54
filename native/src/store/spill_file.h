#pragma once

#include <cstdint>
#include <string>
#include <sys/types.h>

namespace troupe::store {

/// The file that objects are spilled to. It has no name, and ends with the last process that has it open.
class SpillFile {
 public:
  /// None: nothing is spilled.
  SpillFile() = default;
  /// Throws std::system_error when it cannot be made.
  static SpillFile make(const std::string& folder);
  /// The file that another process has open as `fd`. Throws std::system_error when it cannot be opened.
  static SpillFile open(pid_t pid, int fd);

  ~SpillFile();
  SpillFile(SpillFile&& other) noexcept : fd_(other.fd_) { other.fd_ = -1; }
  SpillFile& operator=(SpillFile&&) = delete;

  bool exists() const { return fd_ >= 0; }
  /// -1 for none.
  int fd() const { return fd_; }

  /// False, with errno set, when not all bytes could be moved.
  bool read(uint8_t* to, uint64_t bytes, uint64_t at) const;
  bool write(const uint8_t* from, uint64_t bytes, uint64_t at) const;

 private:
  explicit SpillFile(int fd) : fd_(fd) {}

  int fd_ = -1;
};

}  // namespace troupe::store
