#include "memory/process.h"

#include <csignal>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

using troupe::ProcessWatch;

namespace {

/// Interrupts this thread every few microseconds for as long as it exists.
class Interruptions {
 public:
  Interruptions() {
    struct sigaction action {};
    action.sa_handler = [](int) {};
    sigaction(SIGALRM, &action, &before_);
    every(20);
  }
  ~Interruptions() {
    every(0);
    sigaction(SIGALRM, &before_, nullptr);
  }

 private:
  static void every(int microseconds) {
    const itimerval timer{{0, microseconds}, {0, microseconds}};
    setitimer(ITIMER_REAL, &timer, nullptr);
  }
  struct sigaction before_ {};
};

}  // namespace

TEST("a process that lives counts as alive, however many signals interrupt who looks; one that has ended does not") {
  const pid_t parent = getpid(), child = fork();
  if (child == 0) {
    troupe::dieWithParent(parent);
    for (;;) pause();
  }
  const ProcessWatch watch(child);
  bool alive = true;
  {
    const Interruptions interruptions;
    for (int look = 0; look < 20'000; look++) alive = watch.alive() && alive;
  }
  CHECK(alive);
  kill(child, SIGKILL);
  int status = 0;
  waitpid(child, &status, 0);
  CHECK(!watch.alive());
}
