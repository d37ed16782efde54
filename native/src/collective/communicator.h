#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <vector>

#include "collective/shared/inbox.h"
#include "collective/tcp/pump.h"
#include "memory/process.h"

namespace troupe::collective {

/// Where the other ranks of a group reach one rank.
struct RankAddress {
  int rank = 0;
  std::string node;
  SharedMemoryHandle inbox;
  std::string host;
  int port = 0;
};

/// Thrown out of an operation that cannot complete: a rank has ended or left, the ranks disagree on what they are
/// doing, or nothing moved for the group's timeout. The communicator is unusable afterwards.
class CollectiveError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The operation and element type that a message belongs to, so that two ranks that disagree find out.
enum class MessageKind : uint32_t { AllReduce = 1, AllGather, PointToPoint, Exchange };

/// One rank's end of a group. Made in two steps: every rank constructs it and publishes address(); once all addresses
/// are known, every rank calls connect(). Ranks on one node meet in shared memory, others over TCP.
///
/// All ranks of a group must start the same operations in the same order, from one thread at a time.
class Communicator {
 public:
  struct Options {
    /// What errors call the group, e.g. "tensor".
    std::string name;
    /// Ranks with the same node id share memory.
    std::string node;
    /// This host's address as the other nodes see it; empty when all ranks are on one node.
    std::string host;
    /// A secret that the ranks share; connections that do not know it are dropped.
    std::string token;
    /// What errors call each rank, e.g. the actor's name; by rank, or empty.
    std::vector<std::string> labels;
    /// Whether to wait a moment awake before sleeping: right while ranks have a core each, wasteful when they share.
    bool spin = false;
    std::chrono::milliseconds timeout{30'000};
  };

  /// One message of an operation: `bytes` bytes to or from a rank.
  struct Transfer {
    int peer;
    bool outgoing;
    uint8_t* data;
    size_t bytes;
    // Progress, kept by transfer(): bytes moved, the header included, and the header as it comes in.
    size_t done = 0;
    struct Header {
      uint32_t kind;
      uint32_t reserved;
      uint64_t bytes;
    } header{};
  };

  Communicator(int rank, int size, Options options);
  ~Communicator();

  int rank() const { return rank_; }
  int size() const { return size_; }
  const std::string& name() const { return options_.name; }
  RankAddress address() const;

  /// Blocks until every rank has connected. Throws CollectiveError.
  void connect(const std::vector<RankAddress>& ranks);

  /// Ends the operation in progress, and every later one, with an error that says `reason`. Any thread may call it.
  void abort(const std::string& reason);

  /// Moves all of `transfers` at once, in whatever order they become possible. Throws CollectiveError.
  void transfer(MessageKind kind, std::vector<Transfer>& transfers);

  /// Memory for an algorithm's intermediate results; grows to the largest size asked for and is kept.
  uint8_t* scratch(size_t bytes);
  std::vector<Transfer>& transfers();

 private:
  struct Peer {
    Ring incoming;
    Ring outgoing;
    std::unique_ptr<Inbox> inbox;         // of a rank on this node
    std::unique_ptr<ProcessWatch> watch;  // likewise
    Pump::Line* line = nullptr;           // of a rank on another node
    std::vector<uint8_t> outgoingMemory;  // likewise
  };

  bool advance(Transfer& transfer, MessageKind kind);
  void notify(int peer);
  void waitForProgress(uint32_t seen, int* idle);
  void checkPeers(const std::vector<Transfer>& transfers);
  void checkAborted();
  [[noreturn]] void fail(const std::string& reason);
  std::string label(int rank) const;
  void connectRemote(const std::vector<RankAddress>& ranks, const Check& check);

  const int rank_;
  const int size_;
  const Options options_;
  std::unique_ptr<Inbox> inbox_;
  Descriptor listener_;
  int port_ = 0;
  std::vector<Peer> peers_;
  std::unique_ptr<Pump> pump_;
  std::vector<uint8_t> scratch_;
  std::vector<Transfer> transfers_;

  std::atomic<bool> aborted_{false};
  std::mutex reasonMutex_;
  std::string reason_;
};

}  // namespace troupe::collective
