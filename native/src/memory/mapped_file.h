#pragma once

#include <atomic>
#include <memory>
#include <stdexcept>
#include <string>
#include <sys/stat.h>

namespace troupe {

/// A file of which parts are mapped, as it was when the first of them was.
class MappedFile {
 public:
  /// The same for all that map the same file while it stays as it is. The descriptor may be closed afterwards.
  static std::shared_ptr<MappedFile> of(int fd);

  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  size_t size() const { return static_cast<size_t>(opened_.st_size); }
  int descriptor() const { return fd_; }
  /// Becomes true when something beyond the file's end was read.
  std::atomic<bool>& touchedBeyondEnd() { return touchedBeyondEnd_; }

  /// Throws std::runtime_error, naming the file, if what was read of it may not be what it was: if it was written to, or has
  /// another size, or was read beyond its end.
  void expectUnchanged() const;

 private:
  MappedFile(int fd, const struct stat& status);

  const int fd_;
  const struct stat opened_;
  const std::string path_;
  std::atomic<bool> touchedBeyondEnd_{false};
};

}  // namespace troupe
