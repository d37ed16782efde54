#pragma once

#include <optional>
#include <vector>

#include "collective/hosts.h"

namespace troupe::collective {

/// An operation of a group that spans hosts, through a leader a host, as one rank sees it: what it does with its host's ranks,
/// and, as the leader of its host, with the other leaders. What the hosts' ranks give is joined in rank order, then what
/// the hosts give in the order of their first ranks.
struct HostSteps {
  HostSteps(Hosts& hosts, const Signature& signature);

  Part local;
  const bool leads;
  Part leaders;
  const int leader;  // its place among this host's ranks
  std::optional<Staging::PartOf> part;
};

/// Whether a reduction can be taken in two steps with the result of one: the average of whole numbers and what would be
/// rounded twice cannot.
bool reducesInSteps(DataType type, Reduction reduction);
/// The reduction of each step, and what makes their result that of the operation over `ranks` ranks, in place.
Reduction partialOf(Reduction reduction);
void finishReduction(uint8_t* data, size_t count, const Signature& signature, int ranks);

int rankCount(const Hosts& hosts);

/// Copies ranks' slices, which lie in rank order on one side and host by host on the other.
void regroup(const Hosts& hosts, const std::vector<size_t>& offsets, const uint8_t* from, uint8_t* to, bool toRankOrder);

/// The sizes of this host's ranks, of those of all ranks.
std::vector<size_t> ofOwnHost(const Hosts& hosts, const size_t* sizes);
/// The sums of each host's sizes.
std::vector<size_t> byHost(const Hosts& hosts, const size_t* sizes);

}  // namespace troupe::collective
