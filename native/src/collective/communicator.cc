#include "collective/communicator.h"

#include <algorithm>
#include <cstring>

namespace troupe::collective {
namespace {

using Clock = std::chrono::steady_clock;
constexpr size_t kHeaderBytes = sizeof(Communicator::Transfer::Header);
constexpr int kSpins = 2'000;  // some 20 us: about what going to sleep and being woken costs
constexpr auto kSleep = std::chrono::milliseconds(20);

}  // namespace

Communicator::Communicator(int rank, int size, Options options)
    : rank_(rank), size_(size), options_(std::move(options)), inbox_(Inbox::create(size)), peers_(static_cast<size_t>(size)),
      pump_(std::make_unique<Pump>(&inbox_->doorbell())) {
  if (!options_.host.empty()) listener_ = listenOn(options_.host, &port_);
  transfers_.reserve(static_cast<size_t>(size) * 2);
}

Communicator::~Communicator() {
  abort("rank " + label(rank_) + " has left the group");
}

RankAddress Communicator::address() const { return {rank_, options_.node, inbox_->handle(), options_.host, port_}; }

std::string Communicator::label(int rank) const {
  const auto index = static_cast<size_t>(rank);
  return index < options_.labels.size() ? options_.labels[index] : std::to_string(rank);
}

void Communicator::connect(const std::vector<RankAddress>& ranks) {
  const auto deadline = Clock::now() + options_.timeout;
  const Check check = [&] {
    checkAborted();
    if (Clock::now() > deadline) fail("not every rank connected within " + std::to_string(options_.timeout.count()) + " ms");
  };
  try {
    for (const auto& address : ranks) {
      if (address.node != options_.node || address.rank == rank_) continue;
      Peer& peer = peers_[static_cast<size_t>(address.rank)];
      peer.inbox = Inbox::open(address.inbox, size_);
      peer.watch = std::make_unique<ProcessWatch>(address.inbox.pid);
      peer.incoming = inbox_->ringFrom(address.rank);
      peer.outgoing = peer.inbox->ringFrom(rank_);
    }
    connectRemote(ranks, check);
  } catch (const CollectiveError&) {
    throw;
  } catch (const std::exception& error) {
    fail(error.what());
  }
}

// Each rank calls those below it and is called by those above it, so that a pair makes one connection.
void Communicator::connectRemote(const std::vector<RankAddress>& ranks, const Check& check) {
  size_t expected = 0;
  const auto join = [&](int rank, Descriptor socket) {
    Peer& peer = peers_[static_cast<size_t>(rank)];
    peer.outgoingMemory.resize(Ring::footprint(Inbox::kRingBytes) + 64);
    const auto start = (reinterpret_cast<uintptr_t>(peer.outgoingMemory.data()) + 63) & ~uintptr_t{63};
    peer.incoming = inbox_->ringFrom(rank);
    peer.outgoing = Ring(reinterpret_cast<uint8_t*>(start), Inbox::kRingBytes);
    peer.line = &pump_->add(std::move(socket), peer.incoming, peer.outgoing);
  };
  const Greeting own = greetingOf(options_.token, rank_);
  for (const auto& address : ranks) {
    if (address.node == options_.node) continue;
    if (address.rank > rank_) {
      expected++;
      continue;
    }
    Descriptor socket = connectTo(address.host, address.port, check);
    sendAll(socket, &own, sizeof own, check);
    join(address.rank, std::move(socket));
  }
  while (expected > 0) {
    Descriptor socket = acceptFrom(listener_, check);
    Greeting caller{};
    if (!receiveAll(socket, &caller, sizeof caller, check) || !sameGroup(caller, own)) continue;  // a stranger
    if (caller.rank <= rank_ || caller.rank >= size_ || peers_[static_cast<size_t>(caller.rank)].line != nullptr) continue;
    join(caller.rank, std::move(socket));
    expected--;
  }
  listener_.reset();
  pump_->start();
}

void Communicator::abort(const std::string& reason) {
  {
    std::lock_guard<std::mutex> lock(reasonMutex_);
    if (aborted_) return;
    reason_ = reason;
    aborted_ = true;
  }
  inbox_->leave(reason);
  inbox_->doorbell().ring();
  pump_->close();
  for (auto& peer : peers_) {
    if (peer.inbox) peer.inbox->doorbell().ring();
  }
}

void Communicator::fail(const std::string& reason) {
  const std::string text = "group '" + options_.name + "', rank " + label(rank_) + ": " + reason;
  abort(text);
  throw CollectiveError(text);
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

std::vector<Communicator::Transfer>& Communicator::transfers() {
  transfers_.clear();
  return transfers_;
}

void Communicator::notify(int peer) {
  Peer& to = peers_[static_cast<size_t>(peer)];
  if (to.inbox) {
    to.inbox->doorbell().ring();
  } else {
    pump_->wake();
  }
}

bool Communicator::advance(Transfer& transfer, MessageKind kind) {
  Peer& peer = peers_[static_cast<size_t>(transfer.peer)];
  const size_t before = transfer.done;
  auto* header = reinterpret_cast<uint8_t*>(&transfer.header);
  if (transfer.outgoing) {
    if (transfer.done == 0) transfer.header = {static_cast<uint32_t>(kind), 0, transfer.bytes};
    if (transfer.done < kHeaderBytes) transfer.done += peer.outgoing.write(header + transfer.done, kHeaderBytes - transfer.done);
    if (transfer.done >= kHeaderBytes) {
      const size_t sent = transfer.done - kHeaderBytes;
      transfer.done += peer.outgoing.write(transfer.data + sent, transfer.bytes - sent);
    }
  } else {
    if (transfer.done < kHeaderBytes) {
      transfer.done += peer.incoming.read(header + transfer.done, kHeaderBytes - transfer.done);
      if (transfer.done == kHeaderBytes && (transfer.header.kind != static_cast<uint32_t>(kind) || transfer.header.bytes != transfer.bytes)) {
        fail("expected " + std::to_string(transfer.bytes) + " bytes of operation " + std::to_string(static_cast<uint32_t>(kind)) +
             " from rank " + label(transfer.peer) + ", found " + std::to_string(transfer.header.bytes) + " bytes of operation " +
             std::to_string(transfer.header.kind) + "; all ranks must run the same operations in the same order");
      }
    }
    if (transfer.done >= kHeaderBytes) {
      const size_t received = transfer.done - kHeaderBytes;
      transfer.done += peer.incoming.read(transfer.data + received, transfer.bytes - received);
    }
  }
  return transfer.done != before;
}

void Communicator::transfer(MessageKind kind, std::vector<Transfer>& transfers) {
  const auto finished = [](const Transfer& t) { return t.done == kHeaderBytes + t.bytes; };
  size_t open = transfers.size();
  int idle = 0;
  auto lastProgress = Clock::now();
  while (open > 0) {
    checkAborted();
    const uint32_t seen = inbox_->doorbell().read();
    bool progressed = false;
    for (auto& transfer : transfers) {
      if (finished(transfer) || !advance(transfer, kind)) continue;
      progressed = true;
      notify(transfer.peer);
      if (finished(transfer)) open--;
    }
    if (progressed) {
      idle = 0;
      continue;
    }
    if (open == 0) break;
    if (idle == 0) lastProgress = Clock::now();
    waitForProgress(seen, &idle);
    if (idle > kSpins) {
      checkPeers(transfers);
      if (Clock::now() - lastProgress > options_.timeout) {
        std::string waiting;
        for (const auto& transfer : transfers) {
          if (!finished(transfer)) waiting += (waiting.empty() ? "" : ", ") + label(transfer.peer);
        }
        fail("nothing moved for " + std::to_string(options_.timeout.count()) + " ms while waiting for " + waiting);
      }
    }
  }
}

void Communicator::waitForProgress(uint32_t seen, int* idle) {
  (*idle)++;
  if (!options_.spin) *idle = std::max(*idle, kSpins + 1);
  if (*idle <= kSpins) {
    pauseBriefly();
  } else {
    inbox_->doorbell().wait(seen, kSleep);
  }
}

// A rank that has gone may have finished its part first: what it wrote is read before its absence counts.
void Communicator::checkPeers(const std::vector<Transfer>& transfers) {
  for (const auto& transfer : transfers) {
    if (transfer.done == kHeaderBytes + transfer.bytes) continue;
    Peer& peer = peers_[static_cast<size_t>(transfer.peer)];
    if (!transfer.outgoing && peer.incoming.readable() > 0) continue;
    if (peer.inbox) {
      if (!peer.watch->alive()) {
        if (!transfer.outgoing && peer.incoming.readable() > 0) continue;
        fail("rank " + label(transfer.peer) + " (process " + std::to_string(peer.watch->pid()) + ") has died");
      }
      if (const char* reason = peer.inbox->left()) {
        if (!transfer.outgoing && peer.incoming.readable() > 0) continue;
        fail("rank " + label(transfer.peer) + " has left: " + reason);
      }
    } else if (peer.line->closed) {
      if (!transfer.outgoing && peer.incoming.readable() > 0) continue;
      fail("the connection to rank " + label(transfer.peer) + " has closed");
    }
  }
}

}  // namespace troupe::collective
