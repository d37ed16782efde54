#pragma once

#include <sys/types.h>

namespace troupe {

/// Asks the kernel to kill this process when the thread that started it ends, and ends at once if it already has.
/// `parent` is the process id that the caller believes to be its parent.
void dieWithParent(pid_t parent);

/// Makes this process the parent of what its descendants leave behind when they end.
void adoptOrphans();

/// Takes notice of the end of a child, or of any of a process group for a negative id. False when none has ended.
bool reap(pid_t child);

/// Watches one process without signalling it. A process that has ended but was not yet reaped counts as ended.
class ProcessWatch {
 public:
  explicit ProcessWatch(pid_t pid);
  ~ProcessWatch();
  ProcessWatch(const ProcessWatch&) = delete;
  ProcessWatch& operator=(const ProcessWatch&) = delete;

  bool alive() const;
  pid_t pid() const { return pid_; }
  /// Becomes readable when the process ends; -1 where the kernel has no such descriptors (before Linux 5.3).
  int descriptor() const { return fd_; }

 private:
  pid_t pid_;
  int fd_;
};

}  // namespace troupe
