#include "program/thread_pool.h"

#include <algorithm>
#include <utility>

namespace troupe::program {
namespace {

constexpr int kSpins = 2'000;

template <class Ready>
void waitUntil(Eventcount& event, Ready&& ready) {
  for (int spin = 0; spin < kSpins; spin++) {
    if (ready()) return;
    pauseBriefly();
  }
  for (;;) {
    const uint32_t seen = event.read();
    if (ready()) return;
    event.wait(seen, std::chrono::seconds(1));
  }
}

}  // namespace

ThreadPool::ThreadPool(int threads) : shares_(new Share[static_cast<size_t>(std::max(1, threads))]) {
  try {
    for (int i = 1; i < threads; i++) threads_.emplace_back([this, i] { loop(i); });
  } catch (...) {  // a limit on threads
    stop();
    throw;
  }
}

ThreadPool::~ThreadPool() { stop(); }

void ThreadPool::stop() {
  stopping_ = true;
  start_.notify();
  for (auto& thread : threads_) thread.join();
}

void ThreadPool::run(size_t count, size_t grain, Call call, void* context) {
  count_ = count;
  grain_ = grain;
  call_ = call;
  context_ = context;
  const size_t pieces = (count + grain - 1) / grain, all = threads_.size() + 1;
  for (size_t i = 0; i < all; i++) {
    shares_[i].next = pieces * i / all;
    shares_[i].end = pieces * (i + 1) / all;
  }
  busy_ = static_cast<int>(threads_.size());
  start_.notify();
  work(0);
  waitUntil(finish_, [this] { return busy_.load() == 0; });
  if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
}

void ThreadPool::work(int thread) {
  const size_t all = threads_.size() + 1;
  for (size_t i = 0; i < all; i++) {
    Share& share = shares_[(static_cast<size_t>(thread) + i) % all];
    while (share.next.load(std::memory_order_relaxed) < share.end) {
      const size_t piece = share.next.fetch_add(1);
      if (piece >= share.end) break;
      try {
        call_(context_, piece * grain_, std::min((piece + 1) * grain_, count_), thread);
      } catch (...) {
        std::lock_guard<std::mutex> lock(failureMutex_);
        failure_ = std::current_exception();
      }
    }
  }
}

void ThreadPool::loop(int thread) {
  uint32_t seen = 0;
  for (;;) {
    waitUntil(start_, [&] { return start_.read() != seen; });
    seen++;
    if (stopping_) return;
    work(thread);
    if (busy_.fetch_sub(1) == 1) finish_.notify();
  }
}

}  // namespace troupe::program
