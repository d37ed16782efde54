#include "collective/communicator.h"

#include <algorithm>
#include <cstring>

namespace troupe::collective {
namespace {

using Clock = std::chrono::steady_clock;
constexpr size_t kHeaderBytes = sizeof(Communicator::Transfer::Header);

bool finished(const Communicator::Transfer& transfer) { return transfer.done == kHeaderBytes + transfer.bytes; }

}  // namespace

Communicator::Communicator(int rank, int size, Options options)
    : rank_(rank), size_(size), options_(std::move(options)), inbox_(Inbox::create(size)), peers_(static_cast<size_t>(size)), busy_(static_cast<size_t>(size) * 2),
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
    const bool oneNode = std::all_of(ranks.begin(), ranks.end(), [this](const RankAddress& a) { return a.node == options_.node; });
    if (oneNode) {
      std::vector<Inbox*> inboxes;
      for (const Peer& peer : peers_) inboxes.push_back(peer.inbox ? peer.inbox.get() : inbox_.get());
      staging_ = std::make_unique<Staging>(*this, std::move(inboxes));
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

void Communicator::failLate(const std::string& waitingFor) {
  fail("nothing moved for " + std::to_string(options_.timeout.count()) + " ms while waiting for " + waitingFor);
}

void Communicator::failMismatch(const Signature& own, int rank, const Signature& found) {
  const std::string expected = describe(own), started = describe(found);
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

bool Communicator::advance(Transfer& transfer) {
  Peer& peer = peers_[static_cast<size_t>(transfer.peer)];
  const size_t before = transfer.done;
  auto* header = reinterpret_cast<uint8_t*>(&transfer.header);
  if (transfer.outgoing) {
    if (transfer.done == 0) transfer.header = {transfer.signature, transfer.bytes};
    if (transfer.done < kHeaderBytes) transfer.done += peer.outgoing.write(header + transfer.done, kHeaderBytes - transfer.done);
    if (transfer.done >= kHeaderBytes) {
      const size_t sent = transfer.done - kHeaderBytes;
      transfer.done += peer.outgoing.write(transfer.data + sent, transfer.bytes - sent);
    }
  } else {
    if (transfer.done < kHeaderBytes) {
      transfer.done += peer.incoming.read(header + transfer.done, kHeaderBytes - transfer.done);
      if (transfer.done == kHeaderBytes) checkHeader(transfer);
    }
    if (transfer.done >= kHeaderBytes) {
      const size_t received = transfer.done - kHeaderBytes;
      transfer.done += peer.incoming.read(transfer.data + received, transfer.bytes - received);
    }
  }
  return transfer.done != before;
}

void Communicator::checkHeader(const Transfer& transfer) {
  const auto& found = transfer.header;
  if (found.signature != transfer.signature) failMismatch(transfer.signature, transfer.peer, found.signature);
  if (found.bytes != transfer.bytes) failSize(transfer.signature, transfer.peer, transfer.bytes, found.bytes);
}

void Communicator::transfer(const Signature& signature, std::vector<Transfer>& transfers) {
  for (auto& transfer : transfers) transfer.signature = signature;
  transfer(transfers);
}

void Communicator::transfer(std::vector<Transfer>& transfers) {
  size_t open = transfers.size();
  const auto advanceAll = [&] {
    bool progressed = false;
    std::fill(busy_.begin(), busy_.end(), uint8_t{0});
    for (auto& transfer : transfers) {
      uint8_t& busy = busy_[static_cast<size_t>(transfer.peer) * 2 + (transfer.outgoing ? 1 : 0)];
      if (busy || finished(transfer)) continue;
      if (advance(transfer)) {
        progressed = true;
        notify(transfer.peer);
        if (finished(transfer)) open--;
      }
      busy = !finished(transfer);
    }
    return progressed || open == 0;
  };
  checkAborted();
  while (open > 0) {
    if (spinUntil(advanceAll, [] { return false; })) continue;
    sleepUntil(advanceAll, [&](bool late) { checkTransfers(transfers, late); });
  }
}

void Communicator::checkTransfers(const std::vector<Transfer>& transfers, bool late) {
  std::string waiting;
  for (const auto& transfer : transfers) {
    if (finished(transfer)) continue;
    Peer& peer = peers_[static_cast<size_t>(transfer.peer)];
    checkPresent(transfer.peer, [&] { return !transfer.outgoing && peer.incoming.readable() > 0; });
    waiting += (waiting.empty() ? "" : ", ") + label(transfer.peer);
  }
  if (late) failLate("rank " + waiting);
}

void Communicator::checkPresent(int rank, const std::function<bool()>& arrived) {
  const Peer& peer = peers_[static_cast<size_t>(rank)];
  if (peer.inbox) {
    if (!peer.watch->alive() && !arrived()) fail("rank " + label(rank) + " (process " + std::to_string(peer.watch->pid()) + ") has died");
    if (const char* reason = peer.inbox->left(); reason != nullptr && !arrived()) fail("rank " + label(rank) + " has left: " + reason);
  } else if (peer.line != nullptr && peer.line->closed && !arrived()) {
    fail("the connection to rank " + label(rank) + " has closed");
  }
}

}  // namespace troupe::collective
