// How a communicator moves messages: all that can move does, and when none can it waits for the first that may.
#include <algorithm>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "collective/communicator.h"

namespace troupe::collective {

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
  if (total > 0) peer.inbox->events().notify();
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

// Messages of a peer and direction are moved one after the other.
static size_t queueOf(const Transfer& transfer) { return static_cast<size_t>(transfer.peer) * 2 + (transfer.outgoing ? 1 : 0); }

size_t Communicator::queuesOf(const std::vector<Transfer>& transfers) {
  std::fill(busy_.begin(), busy_.end(), uint8_t{0});
  for (const auto& transfer : transfers) busy_[queueOf(transfer)] = 1;
  return static_cast<size_t>(std::count(busy_.begin(), busy_.end(), uint8_t{1}));
}

// Only the first unfinished message of a peer and direction can move.
template <class Visit>
void Communicator::forAwaitedSockets(const std::vector<Transfer>& transfers, Visit&& visit) {
  std::fill(busy_.begin(), busy_.end(), uint8_t{0});
  for (const auto& transfer : transfers) {
    uint8_t& busy = busy_[queueOf(transfer)];
    Link* link = peers_[static_cast<size_t>(transfer.peer)].link.get();
    if (busy || link == nullptr || transfer.finished()) continue;
    busy = 1;
    if (transfer.ready) link->forAwaited(transfer, [&](int socket) { visit(socket, transfer.outgoing); });
  }
}

void Communicator::transfer(std::vector<Transfer>& transfers, const Finished& finished) {
  size_t first = 0;  // unfinished
  const size_t queues = queuesOf(transfers);
  const auto began = std::chrono::steady_clock::now();
  bool moving = false;
  const auto advanceAll = [&] {
    bool progressed = false;
    std::fill(busy_.begin(), busy_.end(), uint8_t{0});
    while (first < transfers.size() && transfers[first].finished()) first++;
    size_t waiting = 0;  // queues whose first message has not moved as a whole
    for (size_t i = first; i < transfers.size() && waiting < queues; i++) {
      auto& transfer = transfers[i];
      uint8_t& busy = busy_[queueOf(transfer)];
      if (busy || transfer.finished()) continue;
      if (transfer.ready && advance(transfer)) {
        progressed = true;
        if (transfer.finished()) finished(i);
      }
      busy = !transfer.finished();
      waiting += busy;
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
      sleepUntil(advanceAll, check, [&](std::chrono::nanoseconds longest, uint32_t seen) {
        forAwaitedSockets(transfers, [&](int socket, bool outgoing) {
          watcher_->watch(socket, outgoing ? EPOLLOUT : EPOLLIN, [this] { inbox_->events().notify(); });
        });
        inbox_->events().waitUnless([&] { return advanceAll() || aborted_; }, longest, seen);
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

}  // namespace troupe::collective
