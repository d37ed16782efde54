#pragma once

#include <vector>

#include "collective/group.h"
#include "collective/shared/staging.h"

namespace troupe::collective {

class Communicator;

/// Some of a communicator's ranks as a group of their own. It lives as long as an operation, of which all that its ranks
/// do is a part: `whole` is what they compare.
class Part : public Group {
 public:
  Part(Communicator& all, std::vector<int> ranks, int place, Staging* staging, const Signature& whole);

  Staging* staging() override { return staging_; }
  using Group::transfer;
  void transfer(const Signature& signature, std::vector<Transfer>& transfers, const Finished& finished) override;
  std::vector<Transfer>& transfers() override;
  uint8_t* scratch(size_t bytes) override;
  [[noreturn]] void failSize(const Signature& own, int rank, size_t expected, size_t found) override;

 private:
  Communicator& all_;
  const std::vector<int> ranks_;
  Staging* const staging_;
  const Signature& whole_;
};

/// How a communicator's ranks are divided among hosts. Operations go through a leader a host where that sends less over
/// the network: its host's ranks meet in shared memory, the leaders over TCP.
class Hosts {
 public:
  /// `members` are the ranks of each host; `local` is null if this rank is alone on its own.
  Hosts(Communicator& all, std::vector<std::vector<int>> members, Staging* local);

  int count() const { return static_cast<int>(members_.size()); }
  int own() const { return own_; }
  const std::vector<int>& members(int host) const { return members_[static_cast<size_t>(host)]; }
  int hostOf(int rank) const;
  Staging* staging() const { return local_; }

  /// The leader of a host is its first rank, or `root` if that is there.
  int leader(int host, int root) const;
  /// The ranks of this host, and, for its leader alone, those that lead.
  Part local(const Signature& whole) const;
  Part leaders(const Signature& whole, int root) const;
  /// A rank's place among those of its host.
  int place(int rank) const;
  /// Whether the ranks are numbered host by host.
  bool inOrder() const { return inOrder_; }

 private:
  Communicator& all_;
  const std::vector<std::vector<int>> members_;
  Staging* const local_;
  int own_ = 0;
  bool inOrder_ = true;
};

}  // namespace troupe::collective
