#pragma once

#include <atomic>
#include <cstddef>
#include <thread>
#include <vector>

#include "channel/doorbell.h"

namespace troupe::program {

/// Threads that divide loops among them, the calling thread being one. Idle threads sleep.
class ThreadPool {
 public:
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const { return static_cast<int>(threads_.size()) + 1; }

  /// Calls body(begin, end) for pieces of [0, count), each `grain` long or the rest, and returns when all are done.
  template <class Body>
  void forEach(size_t count, size_t grain, Body&& body) {
    if (threads_.empty() || count <= grain) {
      if (count > 0) body(size_t{0}, count);
      return;
    }
    run(count, grain, [](void* context, size_t begin, size_t end) { (*static_cast<Body*>(context))(begin, end); }, &body);
  }

 private:
  using Call = void (*)(void* context, size_t begin, size_t end);

  void run(size_t count, size_t grain, Call call, void* context);
  void work();
  void loop();

  std::vector<std::thread> threads_;
  Doorbell start_;
  Doorbell finish_;
  std::atomic<bool> stopping_{false};
  std::atomic<int> busy_{0};
  std::atomic<size_t> next_{0};
  size_t count_ = 0, grain_ = 1;
  Call call_ = nullptr;
  void* context_ = nullptr;
};

}  // namespace troupe::program
