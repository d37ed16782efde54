#include "program/thread_pool.h"

#include <algorithm>

namespace troupe::program {
namespace {

constexpr int kSpins = 2'000;

template <class Ready>
void waitUntil(Doorbell& doorbell, Ready&& ready) {
  for (int spin = 0; spin < kSpins; spin++) {
    if (ready()) return;
    pauseBriefly();
  }
  for (;;) {
    const uint32_t seen = doorbell.read();
    if (ready()) return;
    doorbell.wait(seen, std::chrono::seconds(1));
  }
}

}  // namespace

ThreadPool::ThreadPool(int threads) {
  for (int i = 1; i < threads; i++) threads_.emplace_back([this] { loop(); });
}

ThreadPool::~ThreadPool() {
  stopping_ = true;
  start_.ring();
  for (auto& thread : threads_) thread.join();
}

void ThreadPool::run(size_t count, size_t grain, Call call, void* context) {
  count_ = count;
  grain_ = grain;
  call_ = call;
  context_ = context;
  next_ = 0;
  busy_ = static_cast<int>(threads_.size());
  start_.ring();
  work();
  waitUntil(finish_, [this] { return busy_.load() == 0; });
}

void ThreadPool::work() {
  for (;;) {
    const size_t begin = next_.fetch_add(grain_);
    if (begin >= count_) return;
    call_(context_, begin, std::min(begin + grain_, count_));
  }
}

void ThreadPool::loop() {
  uint32_t seen = 0;
  for (;;) {
    waitUntil(start_, [&] { return start_.read() != seen; });
    seen++;
    if (stopping_) return;
    work();
    if (busy_.fetch_sub(1) == 1) finish_.ring();
  }
}

}  // namespace troupe::program
