#pragma once

#include <array>
#include <atomic>
#include <string>

#include "collective/tcp/socket.h"
#include "collective/transfer.h"

namespace troupe::collective {

/// The connections to one rank of another host. Messages are read from and written to the memory of the operations
/// themselves; large ones are striped over the connections. Nothing here blocks, but for farewell(). One more connection
/// carries nothing until a rank leaves, and then why.
class Link {
 public:
  static constexpr size_t kConnections = Transfer::kStripes + 1;

  /// Connection `index` of the pair; the other end gives its end the same index. All are needed.
  void add(size_t index, Descriptor socket) { sockets_[index] = std::move(socket); }
  bool complete() const;

  /// Moves as much of a message as the kernel takes, or has. Returns whether it moved anything.
  bool send(Transfer& transfer);
  bool receive(Transfer& transfer);

  /// Whether the other end has closed a connection.
  bool closed() const { return closed_; }
  /// Calls visit(descriptor) for the connections whose readiness would let a message go on.
  template <class Visit>
  void forAwaited(const Transfer& transfer, Visit&& visit) const {
    const bool headerOnly = !transfer.outgoing && !transfer.headerMoved();
    for (size_t stripe = 0; stripe < Transfer::kStripes; stripe++) {
      const bool header = stripe == 0 && !transfer.headerMoved();
      const bool body = !headerOnly && transfer.moved[stripe] < stripeOf(transfer.bytes, stripe).bytes;
      if (header || body) visit(sockets_[stripe].get());
    }
  }
  /// Ends all connections once what the kernel holds has been sent, and tells the other end why. Any thread may call it.
  void shutDown(const std::string& reason);
  /// The other end's reason, of a link that has closed; empty if it had no time to give one.
  std::string farewell() const;

 private:
  struct Stripe {
    size_t begin, bytes;
  };
  static Stripe stripeOf(size_t bytes, size_t stripe);
  template <class Move>
  bool move(Transfer& transfer, Move&& moveBytes);

  const Descriptor& farewells() const { return sockets_.back(); }

  std::array<Descriptor, kConnections> sockets_;
  std::atomic<bool> closed_{false};
};

}  // namespace troupe::collective
