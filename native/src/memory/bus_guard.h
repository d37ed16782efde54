#pragma once

#include <atomic>
#include <csignal>
#include <cstddef>
#include <cstdint>

namespace troupe {

/// Guards memory that a file is mapped to. Where the file has become shorter, a touch raises SIGBUS, which would end the
/// process; within guarded memory it finds zeros instead, and `touched` says so from before then on. Other bus errors go to
/// whoever handled them before.
class BusGuard {
 public:
  /// Of whole pages, from a page's boundary on. `touched` outlives the guard, and the memory is not unmapped before it.
  BusGuard(const void* start, size_t bytes, std::atomic<bool>& touched);
  ~BusGuard();
  BusGuard(const BusGuard&) = delete;
  BusGuard& operator=(const BusGuard&) = delete;

 private:
  struct Range;
  static void onBusError(int signal, siginfo_t* info, void* context);
  static void install();

  static std::atomic<Range*> ranges_;

  Range* range_;
};

}  // namespace troupe
