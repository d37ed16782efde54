#include "collective/communicator.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "collective/barrier.h"
#include "collective/nccl/gpu_group.h"
#include "collective/tcp/meeting.h"
#include "memory/quietly.h"

namespace troupe::collective {

Communicator::Communicator(int rank, int size, Options options)
    : Group(rank, size), options_(std::move(options)), inbox_(Inbox::create(size, options_.messageBytes)), peers_(static_cast<size_t>(size)), busy_(static_cast<size_t>(size) * 2),
      interrupted_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (!options_.host.empty()) listener_ = listenOn(options_.host, &port_);
  transfers_.reserve(static_cast<size_t>(size) * 2);
}

Communicator::~Communicator() {
  quietly([&] { forgetAll(); });
  quietly([&] { abort("rank " + label(rank_) + " has left the group"); });
}

RankAddress Communicator::address() const { return {rank_, options_.node, inbox_->handle(), options_.host, port_, options_.gpu >= 0}; }

std::string Communicator::label(int rank) const {
  const auto index = static_cast<size_t>(rank);
  return index < options_.labels.size() ? options_.labels[index] : std::to_string(rank);
}

void Communicator::connect(const std::vector<RankAddress>& ranks) {
  if (ranks.size() != static_cast<size_t>(size_)) {
    throw std::invalid_argument("group '" + options_.name + "': expected the addresses of " + std::to_string(size_) + " ranks, found " + std::to_string(ranks.size()));
  }
  for (int rank = 0; rank < size_; rank++) {
    const int found = ranks[static_cast<size_t>(rank)].rank;
    if (found != rank) throw std::invalid_argument("group '" + options_.name + "': expected the address of rank " + std::to_string(rank) + ", found that of " + std::to_string(found));
  }
  if (calledConnect_.exchange(true)) throw std::logic_error("group '" + options_.name + "' was connected already");
  const auto deadline = std::chrono::steady_clock::now() + options_.timeout;
  const Check check = [&] {
    checkAborted();
    if (std::chrono::steady_clock::now() > deadline) {
      fail("not every rank connected within " + std::to_string(options_.timeout.count()) + " ms");
    }
  };
  try {
    connectLocal(ranks);
    connectRemote(ranks, check);
    watch();
    const bool allUseGpus = std::all_of(ranks.begin(), ranks.end(), [](const RankAddress& address) { return address.usesGpu; });
    if (allUseGpus && options_.gpu >= 0) gpus_ = nccl::GpuGroup::meet(*this, cuda::Gpu::open(options_.gpu), "cannot connect");
    connected_ = true;
  } catch (const CollectiveError&) {
    throw;
  } catch (const std::exception& error) {
    fail(error.what());
  }
}

void Communicator::expectConnected() const {
  if (size_ > 1 && !connected_ && !aborted_) throw std::logic_error("group '" + options_.name + "' was not connected; call connect() with the addresses of all ranks first");
}

void Communicator::connectLocal(const std::vector<RankAddress>& ranks) {
  std::vector<Inbox*> inboxes;
  std::vector<int> local;
  std::map<std::string, std::vector<int>> byNode;
  std::vector<std::string> nodes;  // in the order of their first ranks
  for (const auto& address : ranks) {
    if (byNode[address.node].empty()) nodes.push_back(address.node);
    byNode[address.node].push_back(address.rank);
    if (address.node != options_.node) continue;
    Peer& peer = peers_[static_cast<size_t>(address.rank)];
    if (address.rank != rank_) {
      try {
        peer.inbox = Inbox::open(address.inbox, size_, options_.messageBytes);
      } catch (const std::exception& error) {
        fail("cannot meet rank " + label(address.rank) + ": " + error.what());
      }
      peer.watch = std::make_unique<ProcessWatch>(address.inbox.pid);
      peer.incoming = inbox_->ringFrom(address.rank);
      peer.outgoing = peer.inbox->ringFrom(rank_);
    }
    inboxes.push_back(address.rank == rank_ ? inbox_.get() : peer.inbox.get());
    local.push_back(address.rank);
  }
  if (local.size() > 1) local_ = std::make_unique<Staging>(*this, local, std::move(inboxes));
  if (nodes.size() == 1 || nodes.size() == ranks.size()) return;
  std::vector<std::vector<int>> members;
  for (const auto& node : nodes) members.push_back(byNode[node]);
  hosts_ = std::make_unique<Hosts>(*this, std::move(members), local_.get());
}

// Each rank calls those below it and is called by those above it.
void Communicator::connectRemote(const std::vector<RankAddress>& ranks, const Check& check) {
  const Meeting meeting(options_.token, options_.encrypt);
  size_t expected = 0;
  for (const auto& address : ranks) {
    if (address.node == options_.node) continue;
    auto& link = peers_[static_cast<size_t>(address.rank)].link;
    link = std::make_unique<Link>();
    if (address.rank > rank_) {
      expected++;
      continue;
    }
    for (size_t index = 0; index < Link::kConnections; index++) {
      link->add(index, meeting.call(connectTo(address.host, address.port, check), rank_, static_cast<int>(index), check));
    }
  }
  while (expected > 0) {
    auto caller = meeting.answer(acceptFrom(listener_, check), check);
    if (!caller || caller->rank <= rank_ || caller->rank >= size_ || caller->index < 0) continue;  // a stranger
    Link* link = peers_[static_cast<size_t>(caller->rank)].link.get();
    if (link == nullptr || link->complete() || static_cast<size_t>(caller->index) >= Link::kConnections) continue;
    link->add(static_cast<size_t>(caller->index), std::move(caller->connection));
    if (link->complete()) expected--;
  }
  listener_.reset();
}

void Communicator::watch() {
  watcher_ = Watcher::ofProcess();
  for (int rank = 0; rank < size_; rank++) {
    const Peer& peer = peers_[static_cast<size_t>(rank)];
    if (peer.link) watchNotices(rank);
    if (peer.watch && peer.watch->descriptor() >= 0) watchProcess(rank);
    mustLook_ = mustLook_ || (peer.watch && peer.watch->descriptor() < 0);
  }
}

void Communicator::watchProcess(int rank) {
  const Peer& peer = peers_[static_cast<size_t>(rank)];
  watcher_->watch(peer.watch->descriptor(), EPOLLIN, [this, rank, &peer] { peer.watch->alive() ? watchProcess(rank) : wake(); });
}

void Communicator::watchNotices(int rank) {
  const Peer& peer = peers_[static_cast<size_t>(rank)];
  watcher_->watch(peer.link->notices(), EPOLLIN, [this, rank, &peer] {
    if (peer.link->readNotices()) watchNotices(rank);
    wake();
  });
}

void Communicator::forgetAll() {
  if (!watcher_) return;
  for (const auto& peer : peers_) {
    if (peer.watch && peer.watch->descriptor() >= 0) watcher_->forget(peer.watch->descriptor());
    if (peer.link) peer.link->forAll([&](int socket) { watcher_->forget(socket); });
  }
}

void Communicator::wake() {
  inbox_->doorbell().ring();
  eventfd_write(interrupted_.get(), 1);
}

void Communicator::abort(const std::string& reason) {
  {
    std::lock_guard<std::mutex> lock(reasonMutex_);
    if (aborted_) return;
    reason_ = reason;
    aborted_ = true;
  }
  inbox_->leave(reason);
  wake();
  for (auto& peer : peers_) {
    if (peer.inbox) peer.inbox->doorbell().ring();
    if (peer.link) peer.link->shutDown(reason);
  }
}

void Communicator::fail(const std::string& reason) {
  const std::string text = "group '" + options_.name + "', rank " + label(rank_) + ": " + reason;
  abort(text);
  throw CollectiveError(text);
}

void Communicator::failLate(const std::string& waitingFor) {
  fail("nothing moved for " + std::to_string(options_.timeout.count()) + " ms while waiting for " + waitingFor);
}

void Communicator::failMismatch(const Signature& own, int rank, const Signature& found) {
  const std::string expected = describe(own), started = describe(found);
  if (own.device != found.device) {
    const auto holds = [&](int who, const Signature& signature) {
      return "rank " + label(who) + " holds the tensor of its " + describe(signature) + (signature.device == 0 ? " in host memory" : " on a GPU");
    };
    fail(holds(rank_, own) + ", " + holds(rank, found) + "; the tensors of an operation must be on GPUs, or in host memory, on all ranks");
  }
  fail("expected " + expected + " from rank " + label(rank) + ", found " +
       (expected == started ? "one that is divided otherwise among the ranks" : started) +
       "; all ranks must start the same operations in the same order");
}

void Communicator::failSize(const Signature& own, int rank, size_t expected, size_t found) {
  fail(describe(own) + ": expected " + std::to_string(expected) + " bytes from rank " + label(rank) + ", found " + std::to_string(found) +
       "; both ranks must give this part the same size");
}

void Communicator::checkAborted() {
  if (!aborted_) return;
  std::lock_guard<std::mutex> lock(reasonMutex_);
  throw CollectiveError(reason_);
}

uint8_t* Communicator::scratch(size_t bytes) {
  if (scratch_.size() < bytes) scratch_.resize(bytes);
  return scratch_.data();
}

std::vector<Transfer>& Communicator::transfers() {
  transfers_.clear();
  return transfers_;
}

bool Communicator::advance(Transfer& transfer) {
  if (transfer.headerDone == 0) transfer.header = {transfer.signature, transfer.bytes};
  Link* link = peers_[static_cast<size_t>(transfer.peer)].link.get();
  if (link == nullptr) return advanceInRing(transfer);
  if (transfer.outgoing) return link->send(transfer);
  const bool known = transfer.headerMoved(), moved = link->receive(transfer);
  if (!known && transfer.headerMoved()) checkHeader(transfer);
  return moved;
}

bool Communicator::advanceInRing(Transfer& transfer) {
  Peer& peer = peers_[static_cast<size_t>(transfer.peer)];
  Ring& ring = transfer.outgoing ? peer.outgoing : peer.incoming;
  size_t total = 0;
  const auto move = [&](uint8_t* data, size_t bytes) {
    const size_t count = transfer.outgoing ? ring.write(data, bytes) : ring.read(data, bytes);
    total += count;
    return count;
  };
  auto* header = reinterpret_cast<uint8_t*>(&transfer.header);
  if (!transfer.headerMoved()) transfer.headerDone += move(header + transfer.headerDone, sizeof transfer.header - transfer.headerDone);
  if (transfer.headerMoved()) {
    if (!transfer.outgoing && transfer.moved[0] == 0) checkHeader(transfer);
    transfer.moved[0] += move(transfer.data + transfer.moved[0], transfer.bytes - transfer.moved[0]);
  }
  if (total > 0) peer.inbox->doorbell().ring();
  return total > 0;
}

void Communicator::checkHeader(const Transfer& transfer) {
  const auto& found = transfer.header;
  if (found.signature != transfer.signature) failMismatch(transfer.signature, transfer.peer, found.signature);
  if (found.bytes != transfer.bytes) failSize(transfer.signature, transfer.peer, transfer.bytes, found.bytes);
}

void Communicator::transfer(const Signature& signature, std::vector<Transfer>& transfers, const Finished& finished) {
  for (auto& transfer : transfers) transfer.signature = signature;
  transfer(transfers, finished);
}

// Only the first unfinished message of a peer and direction can move.
template <class Visit>
void Communicator::forAwaitedSockets(const std::vector<Transfer>& transfers, Visit&& visit) {
  std::fill(busy_.begin(), busy_.end(), uint8_t{0});
  for (const auto& transfer : transfers) {
    uint8_t& busy = busy_[static_cast<size_t>(transfer.peer) * 2 + (transfer.outgoing ? 1 : 0)];
    Link* link = peers_[static_cast<size_t>(transfer.peer)].link.get();
    if (busy || link == nullptr || transfer.finished()) continue;
    busy = 1;
    if (transfer.ready) link->forAwaited(transfer, [&](int socket) { visit(socket, transfer.outgoing); });
  }
}

nccl::GpuGroup& Communicator::onGpu(const std::shared_ptr<cuda::Gpu>& gpu, const Signature& signature) {
  if (!gpus_ && signature.kind == OperationKind::PointToPoint) {
    throw std::invalid_argument("group '" + options_.name + "' has not met over NCCL, which messages between GPUs need; name this rank's GPU when "
                                "the communicator is made, or run a collective on GPU tensors first");
  }
  if (!gpus_) {
    agree(signature);
    gpus_ = nccl::GpuGroup::meet(*this, gpu, describe(signature));
  }
  if (gpus_->gpu()->index() != gpu->index()) {
    throw std::invalid_argument("group '" + options_.name + "', rank " + label(rank_) + " met the others with cuda:" + std::to_string(gpus_->gpu()->index()) +
                                "; found a tensor on cuda:" + std::to_string(gpu->index()));
  }
  return *gpus_;
}

void Communicator::splitGpus(Communicator& part, int color, int key) {
  if (gpus_) part.gpus_ = gpus_->split(part, color, key);
}

void Communicator::close() {
  barrier(*this);
  if (gpus_) gpus_->finalize();
  abort("group '" + options_.name + "' was closed");
}

void Communicator::agree(const Signature& signature) {
  if (Staging* staging = this->staging()) return staging->finish(signature);
  // A dissemination barrier (Hensgen, Finkel and Manber, "Two Algorithms for Barrier Synchronization", 1988).
  for (int distance = 1; distance < size_; distance *= 2) {
    auto& transfers = this->transfers();
    transfers.push_back({(rank_ + distance) % size_, true, nullptr, 0});
    transfers.push_back({(rank_ - distance + size_) % size_, false, nullptr, 0});
    transfer(signature, transfers);
  }
}

void Communicator::transfer(std::vector<Transfer>& transfers, const Finished& finished) {
  size_t first = 0;  // unfinished
  const auto began = std::chrono::steady_clock::now();
  bool moving = false;
  const auto advanceAll = [&] {
    bool progressed = false;
    std::fill(busy_.begin(), busy_.end(), uint8_t{0});
    while (first < transfers.size() && transfers[first].finished()) first++;
    for (size_t i = first; i < transfers.size(); i++) {
      auto& transfer = transfers[i];
      uint8_t& busy = busy_[static_cast<size_t>(transfer.peer) * 2 + (transfer.outgoing ? 1 : 0)];
      if (busy || transfer.finished()) continue;
      if (transfer.ready && advance(transfer)) {
        progressed = true;
        if (transfer.finished()) finished(i);
      }
      busy = !transfer.finished();
    }
    while (first < transfers.size() && transfers[first].finished()) first++;
    if (progressed && !moving) {
      moving = true;
      addWait(std::chrono::steady_clock::now() - began);
    }
    return progressed || first == transfers.size();
  };
  const auto check = [&](Wait wait) { checkTransfers(transfers, wait); };
  checkAborted();
  while (first < transfers.size()) {
    if (spinUntil(advanceAll, [] { return false; })) continue;
    toldStall_ = false;
    if (!local_) {
      sleepUntil(advanceAll, check, [&](std::chrono::nanoseconds longest, uint32_t) { pollSockets(transfers, longest); });
    } else {
      sleepUntil(advanceAll, check, [&](std::chrono::nanoseconds longest, uint32_t rings) {
        forAwaitedSockets(transfers, [&](int socket, bool outgoing) {
          watcher_->watch(socket, outgoing ? EPOLLOUT : EPOLLIN, [this] { inbox_->doorbell().ring(); });
        });
        inbox_->doorbell().sleepUnless([&] { return advanceAll() || aborted_; }, longest, rings);
      });
    }
  }
}

void Communicator::pollSockets(const std::vector<Transfer>& transfers, std::chrono::nanoseconds longest) {
  std::vector<pollfd> wanted{{interrupted_.get(), POLLIN, 0}};
  forAwaitedSockets(transfers, [&](int socket, bool outgoing) {
    wanted.push_back({socket, static_cast<short>(outgoing ? POLLOUT : POLLIN), 0});
  });
  const auto milliseconds = std::chrono::ceil<std::chrono::milliseconds>(longest);
  poll(wanted.data(), wanted.size(), static_cast<int>(std::min<int64_t>(milliseconds.count(), INT32_MAX)));
  eventfd_t count;
  if (wanted[0].revents != 0) eventfd_read(interrupted_.get(), &count);
}

void Communicator::checkTransfers(const std::vector<Transfer>& transfers, Wait wait) {
  std::string waiting;
  for (const auto& transfer : transfers) {
    if (transfer.finished() || !transfer.ready) continue;
    const Peer& peer = peers_[static_cast<size_t>(transfer.peer)];
    checkPresent(transfer.peer, [&] { return peer.inbox && !transfer.outgoing && peer.incoming.readable() > 0; });
    checkCrossed(transfer);
    if (wait == Wait::Stalled && !toldStall_ && peer.link) peer.link->sayStalled(transfer.signature);
    waiting += (waiting.empty() ? "" : ", ") + label(transfer.peer);
  }
  if (wait == Wait::Stalled) toldStall_ = true;
  if (wait == Wait::Late) failLate("rank " + waiting);
}

// Whether this rank waits for a message of one that waits for it in another operation.
void Communicator::checkCrossed(const Transfer& transfer) {
  const Peer& peer = peers_[static_cast<size_t>(transfer.peer)];
  Signature found;
  if (peer.link) {
    if (peer.link->crossed(transfer.signature, &found)) failMismatch(transfer.signature, transfer.peer, found);
    return;
  }
  if (!local_->hasStarted(transfer.peer, &found)) return;
  // What it sent before it started that operation can be seen by now.
  const Ring& ring = transfer.outgoing ? peer.outgoing : peer.incoming;
  size_t room = 0;
  if (transfer.outgoing) ring.reserve(&room);
  if ((transfer.outgoing ? room : ring.readable()) == 0) failMismatch(transfer.signature, transfer.peer, found);
}

bool Communicator::gone(int rank) const {
  const Peer& peer = peers_[static_cast<size_t>(rank)];
  return peer.inbox ? !peer.watch->alive() || peer.inbox->left() != nullptr : peer.link && peer.link->ended();
}

std::string Communicator::goneText(int rank) {
  const Peer& peer = peers_[static_cast<size_t>(rank)];
  const std::string subject = "rank " + label(rank);
  if (peer.inbox) {
    const char* reason = peer.inbox->left();  // of one that gave it and ended, too
    return reason != nullptr ? subject + " has left: " + reason : subject + " (process " + std::to_string(peer.watch->pid()) + ") has died";
  }
  const std::string reason = peer.link->farewell();
  return subject + (reason.empty() ? " has died, or its host cannot be reached" : " has left: " + reason);
}

void Communicator::failGone(int rank) { fail(goneText(rank)); }

void Communicator::checkPresent(int rank, const std::function<bool()>& arrived) {
  const Peer& peer = peers_[static_cast<size_t>(rank)];
  const bool present = peer.inbox ? peer.watch->alive() && peer.inbox->left() == nullptr : !peer.link || !peer.link->closed();
  if (!present && !arrived()) failGone(rank);
}

}  // namespace troupe::collective
