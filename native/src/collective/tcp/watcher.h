#pragma once

#include <atomic>
#include <thread>

#include "channel/doorbell.h"
#include "collective/tcp/socket.h"

namespace troupe::collective {

/// Rings a doorbell when sockets become ready, on a thread of its own: for ranks that sleep on a doorbell because ranks of
/// their own host ring it too.
class Watcher {
 public:
  /// Throws std::system_error.
  explicit Watcher(Doorbell& doorbell);
  ~Watcher();
  Watcher(const Watcher&) = delete;
  Watcher& operator=(const Watcher&) = delete;

  /// Rings once when the socket can be read from, or written to with `outgoing`, or has failed; then it must be asked again.
  void watch(int socket, bool outgoing);

 private:
  void loop();

  Doorbell& doorbell_;
  Descriptor ready_;
  Descriptor stop_;
  std::thread thread_;
};

}  // namespace troupe::collective
