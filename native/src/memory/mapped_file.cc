#include "memory/mapped_file.h"

#include <algorithm>
#include <cerrno>
#include <climits>
#include <fcntl.h>
#include <mutex>
#include <system_error>
#include <unistd.h>
#include <vector>

namespace troupe {
namespace {

std::system_error systemError(const char* what) { return std::system_error(errno, std::generic_category(), what); }

std::string pathOf(int fd) {
  char path[PATH_MAX];
  const ssize_t length = readlink(("/proc/self/fd/" + std::to_string(fd)).c_str(), path, sizeof path);
  return length > 0 ? std::string(path, static_cast<size_t>(length)) : "a mapped file";
}

bool isSame(const struct stat& a, const struct stat& b) {
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino && a.st_size == b.st_size && a.st_mtim.tv_sec == b.st_mtim.tv_sec &&
         a.st_mtim.tv_nsec == b.st_mtim.tv_nsec;
}

struct Files {
  std::mutex mutex;
  std::vector<std::weak_ptr<MappedFile>> all;
};

Files& files() {
  static auto* const all = new Files;  // outlives whatever the process still maps when it ends
  return *all;
}

}  // namespace

MappedFile::MappedFile(int fd, const struct stat& status) : fd_(fd), opened_(status), path_(pathOf(fd)) {}

MappedFile::~MappedFile() { close(fd_); }

std::shared_ptr<MappedFile> MappedFile::of(int fd) {
  struct stat status {};
  if (fstat(fd, &status) != 0) throw systemError("cannot read the size of a file to map");
  if (!S_ISREG(status.st_mode)) throw std::out_of_range("only regular files can be mapped");
  auto& [mutex, all] = files();
  const std::lock_guard<std::mutex> lock(mutex);
  all.erase(std::remove_if(all.begin(), all.end(), [](const auto& file) { return file.expired(); }), all.end());
  for (const auto& each : all) {
    auto file = each.lock();
    if (file && !file->touchedBeyondEnd_ && isSame(file->opened_, status)) return file;
  }
  const int own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
  if (own < 0) throw systemError("cannot keep a mapped file open");
  auto file = std::shared_ptr<MappedFile>(new MappedFile(own, status));
  all.push_back(file);
  return file;
}

void MappedFile::expectUnchanged() const {
  struct stat now {};
  if (fstat(fd_, &now) != 0) throw systemError(("cannot read the size of " + path_).c_str());
  if (now.st_size != opened_.st_size) {
    throw std::runtime_error(path_ + " was " + std::to_string(opened_.st_size) + " bytes when it was opened and is " +
                             std::to_string(now.st_size) + " now; put it back and open it again");
  }
  if (!isSame(now, opened_)) throw std::runtime_error(path_ + " was written to since it was opened; open it again");
  if (touchedBeyondEnd_) throw std::runtime_error(path_ + " could not be read in part; see whether its disk is sound, and open it again");
}

}  // namespace troupe
