#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <vector>

#include "collective/group.h"
#include "collective/hosts.h"
#include "collective/shared/inbox.h"
#include "collective/shared/staging.h"
#include "collective/tcp/link.h"
#include "collective/watcher.h"
#include "memory/process.h"

namespace troupe::cuda {
class Gpu;
}

namespace troupe::collective {

namespace nccl {
class GpuGroup;
}

/// Where the other ranks of a group reach one rank.
struct RankAddress {
  int rank = 0;
  std::string node;
  SharedMemoryHandle inbox;
  std::string host;
  int port = 0;
  /// Whether its tensors will be on a GPU.
  bool usesGpu = false;
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
/// All ranks of a group must start the same operations in the same order, from one thread at a time. A rank that waits
/// sleeps until what it waits for comes; deaths of ranks and their goodbyes wake it.
class Communicator : public Group {
 public:
  struct Options {
    /// The group's name in errors, e.g. "tensor".
    std::string name;
    /// Ranks with the same node id share memory.
    std::string node;
    /// This host's address as the other nodes see it; empty when all ranks are on one node.
    std::string host;
    /// A secret that the ranks share; connections that do not know it are dropped.
    std::string token;
    /// Whether what travels between nodes is encrypted, with keys that the secret is part of.
    bool encrypt = false;
    /// The ranks' names in errors, e.g. the actor's name; by rank, or empty.
    std::vector<std::string> labels;
    /// Whether to wait a moment awake before sleeping: right while ranks have a core each, wasteful when they share.
    bool spin = false;
    std::chrono::milliseconds timeout{30'000};
    /// Bytes of messages that may be under way from one rank of a host to another before a sender waits; a power of two. All
    /// ranks must say the same.
    size_t messageBytes = Inbox::kRingBytes;
    /// The GPU that this rank's tensors will be on, or -1. Where all ranks name one, connect() makes them meet over NCCL too;
    /// otherwise the first collective on tensors of GPUs does.
    int gpu = -1;
  };

  Communicator(int rank, int size, Options options);
  ~Communicator() override;

  const std::string& name() const { return options_.name; }
  /// A rank's name in errors.
  std::string label(int rank) const;
  RankAddress address() const;

  /// Blocks until every rank has connected. Throws CollectiveError, and std::invalid_argument for what are not the addresses of all
  /// ranks in their order.
  void connect(const std::vector<RankAddress>& ranks);

  /// Throws std::logic_error unless all ranks have connected.
  void expectConnected() const;

  /// Ends the operation in progress, and every later one, with an error that says `reason`. Any thread may call it.
  void abort(const std::string& reason);

  Staging* staging() override { return hosts_ || !local_ ? nullptr : local_.get(); }
  Hosts* hosts() override { return hosts_.get(); }

  /// The ranks as NCCL knows them, for an operation on memory of `gpu`, which a collective makes them meet in if they have not:
  /// `signature` is its own. Throws CollectiveError, and std::invalid_argument if the ranks met with other GPUs.
  nccl::GpuGroup& onGpu(const std::shared_ptr<cuda::Gpu>& gpu, const Signature& signature);
  /// The same if the ranks have met in NCCL, else null.
  nccl::GpuGroup* gpus() { return gpus_.get(); }
  /// Makes the ranks of `part`, which were chosen by `color` and ordered by `key`, meet over NCCL if those of this group have.
  void splitGpus(Communicator& part, int color, int key);

  /// Has NCCL, if the ranks have met over it, keep memory of a GPU prepared for transfers until deregisterMemory() is called with
  /// the same number.
  void registerMemory(int id, uint8_t* memory, size_t bytes);
  void deregisterMemory(int id);

  /// Leaves the group in order, which all ranks do at once. It is unusable afterwards.
  void close();

  /// Meets all ranks, who must be about to start an operation of this signature too. Throws CollectiveError.
  void agree(const Signature& signature);

  /// Moves all of `transfers` at once, whose signatures are set; see Group::transfer().
  void transfer(
      std::vector<Transfer>& transfers, const Finished& finished = [](size_t) {});
  using Group::transfer;
  void transfer(const Signature& signature, std::vector<Transfer>& transfers, const Finished& finished) override;
  std::vector<Transfer>& transfers() override;
  uint8_t* scratch(size_t bytes) override;

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

  /// How long a rank has waited: not long, so long that the others should look whether they wait for each other, or longer
  /// than the group's timeout.
  enum class Wait { Short, Stalled, Late };

  /// Sleeps until `ready()`. Calls `check(wait)`, which throws if it cannot come true any more, when something may have
  /// happened to the other ranks, and when it has waited long. Throws CollectiveError after an abort.
  template <class Ready, class Check>
  void sleepUntil(Ready&& ready, Check&& check) {
    sleepUntil(ready, check, [&](std::chrono::nanoseconds longest, uint32_t seen) {
      inbox_->events().waitUnless([&] { return ready() || aborted_; }, longest, seen);
    });
  }
  /// Sleeps no longer than `longest`, and no longer than until something may have happened to the other ranks.
  void nap(std::chrono::nanoseconds longest) {
    inbox_->events().waitUnless([&] { return aborted_.load(); }, longest);
  }
  std::chrono::milliseconds timeout() const { return options_.timeout; }
  /// How long this rank's operations have waited so far: for others to arrive, for the first byte of messages, for room.
  std::chrono::nanoseconds waited() const { return waited_; }
  void addWait(std::chrono::nanoseconds time) { waited_ += time; }
  /// Throws CollectiveError after an abort.
  void checkAborted();
  /// Throws CollectiveError if a rank has died or left, unless `arrived()`: it may have done its part first.
  void checkPresent(int rank, const std::function<bool()>& arrived);
  /// Whether another rank has died or left. What it sent before may still be on its way.
  bool gone(int rank) const;
  /// The text of how a rank went that has gone.
  std::string goneText(int rank);
  [[noreturn]] void failGone(int rank);
  [[noreturn]] void fail(const std::string& reason);
  [[noreturn]] void failLate(const std::string& waitingFor);
  [[noreturn]] void failMismatch(const Signature& own, int rank, const Signature& found);
  [[noreturn]] void failSize(const Signature& own, int rank, size_t expected, size_t found) override;

 private:
  static constexpr auto kStalled = std::chrono::seconds(1);
  static constexpr auto kLook = std::chrono::milliseconds(100);  // between looks for the dead where the kernel does not tell
  static constexpr auto kSpin = std::chrono::microseconds(50);   // several times what going to sleep and waking costs

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
    const auto began = std::chrono::steady_clock::now();
    while (!ready()) {
      const uint32_t seen = inbox_->events().read();  // what happens from here on is looked for again
      checkAborted();
      const auto waited = std::chrono::steady_clock::now() - began;
      check(waited > options_.timeout ? Wait::Late : waited > kStalled ? Wait::Stalled : Wait::Short);
      // A moment later than the limit, so that it has passed by then.
      const std::chrono::nanoseconds longest = (waited > kStalled ? options_.timeout : kStalled) - waited + std::chrono::milliseconds(1);
      sleep(mustLook_ ? std::min<std::chrono::nanoseconds>(longest, kLook) : longest, seen);
    }
  }

  void wake();
  void watch();
  void watchProcess(int rank);
  void watchNotices(int rank);
  void forgetAll();
  size_t queuesOf(const std::vector<Transfer>& transfers);
  bool advance(Transfer& transfer);
  void checkHeader(const Transfer& transfer);
  bool advanceInRing(Transfer& transfer);
  void pollSockets(const std::vector<Transfer>& transfers, std::chrono::nanoseconds longest);
  template <class Visit>
  void forAwaitedSockets(const std::vector<Transfer>& transfers, Visit&& visit);
  void checkTransfers(const std::vector<Transfer>& transfers, Wait wait);
  void checkCrossed(const Transfer& transfer);
  void connectLocal(const std::vector<RankAddress>& ranks);
  void connectRemote(const std::vector<RankAddress>& ranks, const Check& check);

  const Options options_;
  std::unique_ptr<Inbox> inbox_;
  Descriptor listener_;
  int port_ = 0;
  std::vector<Peer> peers_;
  std::vector<uint8_t> busy_;       // by rank and direction, for transfer()
  std::unique_ptr<Staging> local_;  // of the ranks of this node, if there are several
  std::unique_ptr<Hosts> hosts_;
  std::shared_ptr<Watcher> watcher_;
  bool mustLook_ = false;   // some rank's death cannot be waited for
  bool toldStall_ = false;  // in the wait under way
  std::chrono::nanoseconds waited_{0};
  std::unique_ptr<nccl::GpuGroup> gpus_;
  std::map<int, void*> registrations_;  // of memory, by the numbers they were given
  Descriptor interrupted_;              // readable after an abort, or when something happened to a rank
  std::vector<uint8_t> scratch_;
  std::vector<Transfer> transfers_;

  std::atomic<bool> calledConnect_{false}, connected_{false};
  std::atomic<bool> aborted_{false};
  std::mutex reasonMutex_;
  std::string reason_;
};

}  // namespace troupe::collective
