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
#include "collective/shared/staging.h"
#include "collective/signature.h"
#include "collective/tcp/link.h"
#include "collective/tcp/watcher.h"
#include "collective/transfer.h"
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

  Communicator(int rank, int size, Options options);
  ~Communicator();

  int rank() const { return rank_; }
  int size() const { return size_; }
  const std::string& name() const { return options_.name; }
  /// What errors call a rank.
  std::string label(int rank) const;
  RankAddress address() const;

  /// Blocks until every rank has connected. Throws CollectiveError.
  void connect(const std::vector<RankAddress>& ranks);

  /// Ends the operation in progress, and every later one, with an error that says `reason`. Any thread may call it.
  void abort(const std::string& reason);

  /// How the ranks exchange data if all of them are on one node, else null.
  Staging* staging() { return staging_.get(); }

  /// Moves all of `transfers` at once, in whatever order they become possible; those between two ranks in one direction
  /// go one after the other. Throws CollectiveError.
  void transfer(std::vector<Transfer>& transfers);
  /// The same, as parts of one operation.
  void transfer(const Signature& signature, std::vector<Transfer>& transfers);

  /// Memory for an algorithm's intermediate results; grows to the largest size asked for and is kept.
  uint8_t* scratch(size_t bytes);
  std::vector<Transfer>& transfers();

  // For the ways of exchanging data, whose waits all end alike:

  /// Waits awake for `ready()`, which other ranks' progress makes true, if this group's ranks may. Gives up after a moment,
  /// or when `pointless()`, which is asked now and then, says so. Returns whether it is ready.
  template <class Ready, class Pointless>
  bool spinUntil(Ready&& ready, Pointless&& pointless) {
    if (ready()) return true;
    if (!options_.spin) return false;
    const auto end = std::chrono::steady_clock::now() + kSpin;
    do {
      if (pointless()) return false;
      for (int i = 0; i < 32; i++) {
        if (ready()) return true;
        pauseBriefly();
      }
    } while (std::chrono::steady_clock::now() < end);
    return false;
  }

  /// Sleeps until `ready()`. Now and then calls `check(late)`, which throws if it cannot come true any more; `late` says
  /// that the group's timeout has passed. Throws CollectiveError after an abort.
  template <class Ready, class Check>
  void sleepUntil(Ready&& ready, Check&& check) {
    sleepUntil(ready, check, [&] { inbox_->doorbell().sleepUnless([&] { return ready() || aborted_; }, kSleep); });
  }
  /// Throws CollectiveError after an abort.
  void checkAborted();
  /// Throws CollectiveError if a rank has died or left, unless `arrived()`: it may have done its part first.
  void checkPresent(int rank, const std::function<bool()>& arrived);
  [[noreturn]] void fail(const std::string& reason);
  [[noreturn]] void failLate(const std::string& waitingFor);
  [[noreturn]] void failMismatch(const Signature& own, int rank, const Signature& found);
  [[noreturn]] void failSize(const Signature& own, int rank, size_t expected, size_t found);

 private:
  static constexpr auto kSleep = std::chrono::milliseconds(20);
  static constexpr auto kSpin = std::chrono::microseconds(50);  // several times what going to sleep and waking costs

  struct Peer {
    // Of a rank on this node:
    Ring incoming;
    Ring outgoing;
    std::unique_ptr<Inbox> inbox;
    std::unique_ptr<ProcessWatch> watch;
    // Of a rank on another node:
    std::unique_ptr<Link> link;
  };

  template <class Ready, class Check, class Sleep>
  void sleepUntil(Ready&& ready, Check&& check, Sleep&& sleep) {
    const auto deadline = std::chrono::steady_clock::now() + options_.timeout;
    while (!ready()) {
      checkAborted();
      check(std::chrono::steady_clock::now() > deadline);
      sleep();
    }
  }

  bool advance(Transfer& transfer);
  void checkHeader(const Transfer& transfer);
  bool advanceInRing(Transfer& transfer);
  void pollSockets(const std::vector<Transfer>& transfers);
  template <class Visit>
  void forAwaitedSockets(const std::vector<Transfer>& transfers, Visit&& visit);
  void checkTransfers(const std::vector<Transfer>& transfers, bool late);
  void connectLocal(const std::vector<RankAddress>& ranks);
  void connectRemote(const std::vector<RankAddress>& ranks, const Check& check);

  const int rank_;
  const int size_;
  const Options options_;
  std::unique_ptr<Inbox> inbox_;
  Descriptor listener_;
  int port_ = 0;
  std::vector<Peer> peers_;
  std::vector<uint8_t> busy_;  // by rank and direction, for transfer()
  std::unique_ptr<Staging> staging_;
  std::unique_ptr<Watcher> watcher_;  // of a group of both local and remote ranks
  Descriptor interrupted_;            // readable after an abort
  std::vector<uint8_t> scratch_;
  std::vector<Transfer> transfers_;

  std::atomic<bool> aborted_{false};
  std::mutex reasonMutex_;
  std::string reason_;
};

}  // namespace troupe::collective
