#pragma once

#include <array>
#include <atomic>

#include "collective/tcp/socket.h"
#include "collective/transfer.h"

namespace troupe::collective {

/// The connections to one rank of another host. Messages are read from and written to the memory of the operations
/// themselves; large ones are striped over all connections. Nothing here blocks.
class Link {
 public:
  static constexpr size_t kConnections = Transfer::kStripes;

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
    for (size_t stripe = 0; stripe < kConnections; stripe++) {
      const bool header = stripe == 0 && !transfer.headerMoved();
      const bool body = !headerOnly && transfer.moved[stripe] < stripeOf(transfer.bytes, stripe).bytes;
      if (header || body) visit(sockets_[stripe].get());
    }
  }
  /// Ends all connections once what the kernel holds has been sent. Any thread may call it.
  void shutDown();

 private:
  struct Stripe {
    size_t begin, bytes;
  };
  static Stripe stripeOf(size_t bytes, size_t stripe);
  template <class Move>
  bool move(Transfer& transfer, Move&& moveBytes);

  std::array<Descriptor, kConnections> sockets_;
  std::atomic<bool> closed_{false};
};

}  // namespace troupe::collective
