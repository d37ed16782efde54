#include "collective/watcher.h"

#include <cerrno>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <system_error>

#include "memory/quietly.h"

namespace troupe::collective {
namespace {

std::system_error watchError() { return std::system_error(errno, std::generic_category(), "cannot watch descriptors"); }

}  // namespace

std::shared_ptr<Watcher> Watcher::ofProcess() {
  static std::mutex mutex;
  static std::weak_ptr<Watcher> current;
  std::lock_guard<std::mutex> lock(mutex);
  auto watcher = current.lock();
  if (!watcher) current = watcher = std::shared_ptr<Watcher>(new Watcher());
  return watcher;
}

Watcher::Watcher() : ready_(epoll_create1(EPOLL_CLOEXEC)), stop_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = stop_.get();
  if (!ready_.valid() || !stop_.valid() || epoll_ctl(ready_.get(), EPOLL_CTL_ADD, stop_.get(), &event) != 0) throw watchError();
  thread_ = std::thread([this] { loop(); });
}

Watcher::~Watcher() {
  eventfd_write(stop_.get(), 1);
  thread_.join();
}

void Watcher::watch(int descriptor, uint32_t events, std::function<void()> then) {
  std::lock_guard<std::recursive_mutex> lock(mutex_);
  waiting_[descriptor] = std::move(then);
  epoll_event event{};
  event.events = events | EPOLLONESHOT;
  event.data.fd = descriptor;
  if (epoll_ctl(ready_.get(), EPOLL_CTL_MOD, descriptor, &event) == 0) return;
  if (epoll_ctl(ready_.get(), EPOLL_CTL_ADD, descriptor, &event) != 0) throw watchError();
}

void Watcher::forget(int descriptor) {
  std::lock_guard<std::recursive_mutex> lock(mutex_);
  waiting_.erase(descriptor);
  epoll_ctl(ready_.get(), EPOLL_CTL_DEL, descriptor, nullptr);
}

void Watcher::loop() {
  for (;;) {
    epoll_event events[16];
    const int count = epoll_wait(ready_.get(), events, 16, -1);
    for (int i = 0; i < count; i++) {
      if (events[i].data.fd == stop_.get()) return;
      std::lock_guard<std::recursive_mutex> lock(mutex_);
      const auto found = waiting_.find(events[i].data.fd);
      if (found == waiting_.end()) continue;
      const auto then = std::move(found->second);
      waiting_.erase(found);
      quietly(then);  // it has nobody to tell, and must not end the process
    }
  }
}

}  // namespace troupe::collective
