#include "memory/bus_guard.h"

#include <cerrno>
#include <mutex>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <system_error>
#include <unistd.h>

namespace troupe {

/// A place for guarded memory in a list that is only ever added to, since a signal handler reads it at any time. A place that
/// ends at 0 is free.
struct BusGuard::Range {
  std::atomic<uintptr_t> start{0}, end{0};
  std::atomic<std::atomic<bool>*> touched{nullptr};
  Range* next = nullptr;
};

namespace {

struct sigaction previous;

std::mutex& mutex() {
  static auto* const only = new std::mutex;
  return *only;
}

}  // namespace

std::atomic<BusGuard::Range*> BusGuard::ranges_{nullptr};

void BusGuard::install() {
  static const bool once = [] {
    struct sigaction action {};
    action.sa_sigaction = onBusError;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigemptyset(&action.sa_mask);
    if (sigaction(SIGBUS, nullptr, &previous) != 0 || sigaction(SIGBUS, &action, nullptr) != 0) {
      throw std::system_error(errno, std::generic_category(), "cannot guard mapped files");
    }
    return true;
  }();
  (void)once;
}

BusGuard::BusGuard(const void* start, size_t bytes, std::atomic<bool>& touched) {
  install();
  const std::lock_guard<std::mutex> lock(mutex());
  range_ = ranges_.load();
  while (range_ != nullptr && range_->end.load() != 0) range_ = range_->next;
  const bool isNew = range_ == nullptr;
  if (isNew) range_ = new Range;
  const auto begin = reinterpret_cast<uintptr_t>(start);
  range_->touched.store(&touched);
  range_->start.store(begin);
  range_->end.store(begin + bytes);
  if (!isNew) return;
  range_->next = ranges_.load();
  ranges_.store(range_);
}

BusGuard::~BusGuard() { range_->end.store(0); }

// Only what may be called in a signal handler.
void BusGuard::onBusError(int signal, siginfo_t* info, void* context) {
  const bool isFault = info->si_code > 0;  // and not sent by a process
  const auto address = reinterpret_cast<uintptr_t>(info->si_addr);
  for (Range* range = ranges_.load(); isFault && range != nullptr; range = range->next) {
    const uintptr_t end = range->end.load();
    if (address < range->start.load() || address >= end) continue;
    const int error = errno;
    range->touched.load()->store(true);
    const uintptr_t page = address & ~(static_cast<uintptr_t>(sysconf(_SC_PAGESIZE)) - 1);
    // The system call itself: sanitizers replace the function by one that is not for signal handlers.
    const long zeros =
        syscall(SYS_mmap, page, end - page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
    errno = error;
    if (zeros != -1) return;
    break;
  }
  if ((previous.sa_flags & SA_SIGINFO) != 0) return previous.sa_sigaction(signal, info, context);
  if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN) return previous.sa_handler(signal);
  if (previous.sa_handler == SIG_IGN && !isFault) return;
  struct sigaction action {};
  action.sa_handler = SIG_DFL;
  sigaction(signal, &action, nullptr);
  if (!isFault) raise(signal);
}

}  // namespace troupe
