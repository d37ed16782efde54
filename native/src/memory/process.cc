#include "memory/process.h"

#include <cerrno>
#include <csignal>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace troupe {

void dieWithParent(pid_t parent) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(1);  // it ended before the request above took effect
}

void adoptOrphans() { prctl(PR_SET_CHILD_SUBREAPER, 1); }

bool reap(pid_t child) {
  pid_t ended;
  do ended = waitpid(child, nullptr, WNOHANG);
  while (ended < 0 && errno == EINTR);
  return ended > 0;
}

ProcessWatch::ProcessWatch(pid_t pid) : pid_(pid), fd_(static_cast<int>(syscall(SYS_pidfd_open, pid, 0))) {}

ProcessWatch::~ProcessWatch() {
  if (fd_ >= 0) close(fd_);
}

bool ProcessWatch::alive() const {
  if (fd_ < 0) return kill(pid_, 0) == 0 || errno == EPERM;  // kernels before 5.3
  pollfd ended{fd_, POLLIN, 0};
  // A signal that arrives meanwhile, such as that of a child's end, interrupts even a poll that does not wait.
  return poll(&ended, 1, 0) <= 0;
}

}  // namespace troupe
