// Failures that end a communicator's operations, and their texts.
#include "collective/communicator.h"

namespace troupe::collective {

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
      return "rank " + label(who) + " holds the tensor of its " + describe(signature) +
             (signature.device == 0 ? " in host memory" : " on a GPU");
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
