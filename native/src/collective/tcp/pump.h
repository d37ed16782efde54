#pragma once

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "channel/doorbell.h"
#include "channel/ring.h"
#include "collective/tcp/socket.h"

namespace troupe::collective {

/// Moves bytes between the sockets to ranks of other hosts and the rings that the algorithms use, on a thread of its
/// own, so that a rank waits in one way wherever its peers are.
class Pump {
 public:
  /// One connection. `outgoing` is drained into the socket, `incoming` is filled from it.
  struct Line {
    Descriptor socket;
    Ring incoming;
    Ring outgoing;
    std::atomic<bool> closed{false};
  };

  /// `doorbell` is rung whenever bytes came, room appeared or a connection closed.
  explicit Pump(Doorbell* doorbell);
  ~Pump();

  /// Adds a connection; only before start(). The reference lives as long as the pump.
  Line& add(Descriptor socket, Ring incoming, Ring outgoing);
  void start();
  /// Says that a ring changed on the algorithm's side.
  void wake();
  /// Sends what is queued, as far as the other ends take it at once, and closes all connections. Any thread may call it.
  void close();

 private:
  void loop();
  bool fill(Line& line);
  bool drain(Line& line);

  Doorbell* doorbell_;
  Descriptor event_;
  std::vector<std::unique_ptr<Line>> lines_;
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

}  // namespace troupe::collective
