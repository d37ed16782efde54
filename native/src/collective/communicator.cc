#include "collective/communicator.h"

#include <algorithm>
#include <map>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "collective/barrier.h"
#include "collective/nccl/gpu_group.h"
#include "collective/tcp/meeting.h"
#include "memory/quietly.h"

namespace troupe::collective {

Communicator::Communicator(int rank, int size, Options options)
    : Group(rank, size), options_(std::move(options)), inbox_(Inbox::create(size, options_.messageBytes)),
      peers_(static_cast<size_t>(size)), busy_(static_cast<size_t>(size) * 2), interrupted_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
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
    throw std::invalid_argument("group '" + options_.name + "': expected the addresses of " + std::to_string(size_) + " ranks, found " +
                                std::to_string(ranks.size()));
  }
  for (int rank = 0; rank < size_; rank++) {
    const int found = ranks[static_cast<size_t>(rank)].rank;
    if (found != rank)
      throw std::invalid_argument("group '" + options_.name + "': expected the address of rank " + std::to_string(rank) +
                                  ", found that of " + std::to_string(found));
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
  if (size_ > 1 && !connected_ && !aborted_)
    throw std::logic_error("group '" + options_.name + "' was not connected; call connect() with the addresses of all ranks first");
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
  members.reserve(nodes.size());
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
  inbox_->events().notify();
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
    if (peer.inbox) peer.inbox->events().notify();
    if (peer.link) peer.link->shutDown(reason);
  }
}

nccl::GpuGroup& Communicator::onGpu(const std::shared_ptr<cuda::Gpu>& gpu, const Signature& signature) {
  if (!gpus_ && signature.kind == OperationKind::PointToPoint) {
    throw std::invalid_argument("group '" + options_.name +
                                "' has not met over NCCL, which messages between GPUs need; name this rank's GPU when "
                                "the communicator is made, or run a collective on GPU tensors first");
  }
  if (!gpus_) {
    agree(signature);
    gpus_ = nccl::GpuGroup::meet(*this, gpu, describe(signature));
  }
  if (gpus_->gpu()->index() != gpu->index()) {
    throw std::invalid_argument("group '" + options_.name + "', rank " + label(rank_) + " met the others with cuda:" +
                                std::to_string(gpus_->gpu()->index()) + "; found a tensor on cuda:" + std::to_string(gpu->index()));
  }
  return *gpus_;
}

void Communicator::splitGpus(Communicator& part, int color, int key) {
  if (gpus_) part.gpus_ = gpus_->split(part, color, key);
}

void Communicator::registerMemory(int id, uint8_t* memory, size_t bytes) {
  if (gpus_) registrations_[id] = gpus_->registerMemory(memory, bytes);
}

void Communicator::deregisterMemory(int id) {
  const auto found = registrations_.find(id);
  if (found == registrations_.end()) return;
  if (gpus_) gpus_->deregisterMemory(found->second);
  registrations_.erase(found);
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

uint8_t* Communicator::scratch(size_t bytes) {
  if (scratch_.size() < bytes) scratch_.resize(bytes);
  return scratch_.data();
}

std::vector<Transfer>& Communicator::transfers() {
  transfers_.clear();
  return transfers_;
}

}  // namespace troupe::collective
