#include "collective/hosts.h"

#include <algorithm>

#include "collective/communicator.h"

namespace troupe::collective {

Part::Part(Communicator& all, std::vector<int> ranks, int place, Staging* staging, const Signature& whole)
    : Group(place, static_cast<int>(ranks.size())), all_(all), ranks_(std::move(ranks)), staging_(staging), whole_(whole) {}

void Part::transfer(const Signature&, std::vector<Transfer>& transfers, const Finished& finished) {
  for (auto& transfer : transfers) transfer.peer = ranks_[static_cast<size_t>(transfer.peer)];
  all_.transfer(whole_, transfers, finished);
}

std::vector<Transfer>& Part::transfers() { return all_.transfers(); }

uint8_t* Part::scratch(size_t bytes) { return all_.scratch(bytes); }

void Part::failSize(const Signature&, int rank, size_t expected, size_t found) {
  all_.Communicator::failSize(whole_, ranks_[static_cast<size_t>(rank)], expected, found);
}

Hosts::Hosts(Communicator& all, std::vector<std::vector<int>> members, Staging* local)
    : all_(all), members_(std::move(members)), local_(local), own_(hostOf(all.rank())) {
  int next = 0;
  for (const auto& ranks : members_) {
    for (int rank : ranks) inOrder_ = inOrder_ && rank == next++;
  }
}

int Hosts::hostOf(int rank) const {
  const auto holds = [rank](const std::vector<int>& ranks) { return std::find(ranks.begin(), ranks.end(), rank) != ranks.end(); };
  return static_cast<int>(std::find_if(members_.begin(), members_.end(), holds) - members_.begin());
}

int Hosts::place(int rank) const {
  const auto& ranks = members(hostOf(rank));
  return static_cast<int>(std::find(ranks.begin(), ranks.end(), rank) - ranks.begin());
}

int Hosts::leader(int host, int root) const { return root >= 0 && hostOf(root) == host ? root : members(host).front(); }

Part Hosts::local(const Signature& whole) const { return Part(all_, members(own_), place(all_.rank()), local_, whole); }

Part Hosts::leaders(const Signature& whole, int root) const {
  std::vector<int> ranks;
  ranks.reserve(static_cast<size_t>(count()));
  for (int host = 0; host < count(); host++) ranks.push_back(leader(host, root));
  return Part(all_, std::move(ranks), own_, nullptr, whole);
}

}  // namespace troupe::collective
