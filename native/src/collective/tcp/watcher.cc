#include "collective/tcp/watcher.h"

#include <cerrno>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <system_error>
#include <unistd.h>

namespace troupe::collective {

Watcher::Watcher(Doorbell& doorbell)
    : doorbell_(doorbell), ready_(epoll_create1(EPOLL_CLOEXEC)), stop_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = stop_.get();
  if (!ready_.valid() || !stop_.valid() || epoll_ctl(ready_.get(), EPOLL_CTL_ADD, stop_.get(), &event) != 0) {
    throw std::system_error(errno, std::generic_category(), "cannot watch sockets");
  }
  thread_ = std::thread([this] { loop(); });
}

Watcher::~Watcher() {
  eventfd_write(stop_.get(), 1);
  thread_.join();
}

void Watcher::watch(int socket, bool outgoing) {
  epoll_event event{};
  event.events = (outgoing ? EPOLLOUT : EPOLLIN) | EPOLLONESHOT;
  event.data.fd = socket;
  if (epoll_ctl(ready_.get(), EPOLL_CTL_MOD, socket, &event) != 0) epoll_ctl(ready_.get(), EPOLL_CTL_ADD, socket, &event);
}

void Watcher::loop() {
  for (;;) {
    epoll_event events[16];
    const int count = epoll_wait(ready_.get(), events, 16, -1);
    for (int i = 0; i < count; i++) {
      if (events[i].data.fd == stop_.get()) return;
    }
    doorbell_.ring();
  }
}

}  // namespace troupe::collective
