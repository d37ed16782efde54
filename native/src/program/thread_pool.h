#pragma once

#include <atomic>
#include <cstddef>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <type_traits>
#include <vector>

#include "sync/backoff.h"
#include "sync/eventcount.h"

namespace troupe::program {

/// Threads that divide loops among them, the calling thread being one. Between loops they stay awake for some tens of
/// microseconds, then sleep.
class ThreadPool {
 public:
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const { return static_cast<int>(threads_.size()) + 1; }

  /// Calls body(begin, end) or body(begin, end, thread) for pieces of [0, count), each `grain` long or the rest, and
  /// returns when all are done; what one of them throws is thrown then. Each thread has a contiguous share, so that it streams through memory; one that has
  /// finished its own takes pieces of the others'.
  template <class Body>
  void forEach(size_t count, size_t grain, Body&& body) {
    const auto call = [](void* context, size_t begin, size_t end, int thread) {
      auto& each = *static_cast<std::remove_reference_t<Body>*>(context);
      if constexpr (std::is_invocable_v<Body, size_t, size_t, int>)
        each(begin, end, thread);
      else
        each(begin, end);
    };
    if (threads_.empty() || count <= grain) {
      if (count > 0) call(&body, 0, count, 0);
      return;
    }
    run(count, grain, call, &body);
  }

 private:
  using Call = void (*)(void* context, size_t begin, size_t end, int thread);

  /// One thread's pieces, on a cache line of its own.
  struct alignas(64) Share {
    std::atomic<size_t> next{0};
    size_t end = 0;
  };

  void run(size_t count, size_t grain, Call call, void* context);
  void stop();
  void work(int thread);
  void loop(int thread);

  std::vector<std::thread> threads_;
  std::unique_ptr<Share[]> shares_;
  Eventcount start_;
  Eventcount finish_;
  std::atomic<bool> stopping_{false};
  std::atomic<int> busy_{0};
  size_t count_ = 0, grain_ = 1;
  Call call_ = nullptr;
  void* context_ = nullptr;
  std::mutex failureMutex_;
  std::exception_ptr failure_;  // of the loop under way
};

}  // namespace troupe::program
