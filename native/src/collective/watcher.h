#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <thread>

#include "collective/tcp/socket.h"

namespace troupe::collective {

/// Waits for descriptors on one thread for the whole process, so that nobody else has to wake up and look.
class Watcher {
 public:
  /// The process's watcher, which ends with the last who holds it. Throws std::system_error.
  static std::shared_ptr<Watcher> ofProcess();

  ~Watcher();
  Watcher(const Watcher&) = delete;
  Watcher& operator=(const Watcher&) = delete;

  /// Calls `then` once, on the watcher's thread, when the descriptor is ready for `events` (of epoll) or has failed; to wait
  /// again takes another call, which `then` may make itself. `then` must not block. Throws std::system_error.
  void watch(int descriptor, uint32_t events, std::function<void()> then);
  /// Forgets a descriptor, which must be done before it is closed. Its function is not running any more afterwards.
  void forget(int descriptor);

 private:
  Watcher();
  void loop();

  Descriptor ready_;
  Descriptor stop_;
  std::recursive_mutex mutex_;  // held while a function runs, which may watch and forget
  std::map<int, std::function<void()>> waiting_;
  std::thread thread_;
};

}  // namespace troupe::collective
