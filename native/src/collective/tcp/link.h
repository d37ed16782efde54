#pragma once

#include <array>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <string>

#include "collective/tcp/connection.h"
#include "collective/transfer.h"

namespace troupe::collective {

/// The connections to one rank of another host. Messages are read from and written to the memory of the operations
/// themselves; they take turns among the connections, and large ones are striped over all. Nothing here blocks, but for farewell(). One more connection
/// carries notices: what a rank waits for if it waits long, and why it leaves.
class Link {
 public:
  static constexpr size_t kConnections = Transfer::kStripes + 1;

  /// The wait of a rank that has waited for a while, and how many messages it had sent to and received from this one.
  struct Stall {
    Signature awaited;
    uint64_t sent, received;
  };

  /// Connection `index` of the pair; the other end gives its end the same index. All are needed.
  void add(size_t index, Connection connection) { connections_[index] = std::move(connection); }
  bool complete() const;

  /// Moves as much of a message as the kernel takes, or has. Returns whether it moved anything.
  bool send(Transfer& transfer);
  bool receive(Transfer& transfer);

  /// Calls visit(descriptor) for the connections whose readiness would let a message go on. Of one that comes in they become
  /// ready only when enough has come to be worth waking up for.
  template <class Visit>
  void forAwaited(const Transfer& transfer, Visit&& visit) {
    const bool headerOnly = !transfer.outgoing && !transfer.headerMoved();
    for (size_t stripe = 0; stripe < Transfer::kStripes; stripe++) {
      const bool header = stripe == 0 && !transfer.headerMoved();
      const bool body = !headerOnly && transfer.moved[stripe] < stripeOf(transfer.bytes, stripe).bytes;
      if (!header && !body) continue;
      const size_t connection = connectionOf(transfer, stripe);
      if (!transfer.outgoing) awaitBytes(connection, header ? 1 : stripeOf(transfer.bytes, stripe).bytes - transfer.moved[stripe]);
      visit(connections_[connection].get());
    }
  }
  /// Calls visit(descriptor) for every connection.
  template <class Visit>
  void forAll(Visit&& visit) const {
    for (const auto& connection : connections_) visit(connection.get());
  }

  /// Tells the other end that this one has waited long for a message.
  void sayStalled(const Signature& awaited);
  /// Whether the other end waits for a message that this end, which waits for `awaited` itself, will not send: nothing is
  /// on its way between them, and they are not in the same operation. `found` is then what it waits for.
  bool crossed(const Signature& awaited, Signature* found) const;

  /// The connection that notices come over, and what reads those that have come. Returns false once it has ended. Any one
  /// thread may call it.
  int notices() const { return connections_.back().get(); }
  bool readNotices();
  /// Whether the other end has closed a connection that carries messages, and all that it had sent there has come.
  bool closed() const { return closed_; }
  /// Whether it has left or died. Messages that it sent before may still come.
  bool ended() const;
  /// Ends all connections once what the kernel holds has been sent, and tells the other end why. Any thread may call it.
  void shutDown(const std::string& reason);
  /// The other end's reason, of a link that has closed; empty if it had no time to give one.
  std::string farewell();

 private:
  struct Stripe {
    size_t begin, bytes;
  };
  static Stripe stripeOf(size_t bytes, size_t stripe);
  template <class Move>
  bool move(Transfer& transfer, Move&& moveBytes);
  // Messages take turns among the connections, and the stripes of one begin where its turn is.
  size_t connectionOf(const Transfer& transfer, size_t stripe) const {
    return ((transfer.outgoing ? sent_ : received_) + stripe) % Transfer::kStripes;
  }
  void awaitBytes(size_t connection, size_t bytes);
  void say(uint32_t kind, const void* text, size_t bytes);

  std::array<Connection, kConnections> connections_;
  std::mutex saying_;
  std::atomic<bool> closed_{false};
  uint64_t sent_ = 0, received_ = 0;                  // whole messages
  std::array<size_t, Transfer::kStripes> awaited_{};  // bytes that make a connection ready

  mutable std::mutex mutex_;  // of what follows, which notices change
  std::condition_variable ended_;
  bool noticesEnded_ = false;
  std::string notice_;  // as far as it has come
  std::string reason_;
  std::optional<Stall> stall_;
};

}  // namespace troupe::collective
