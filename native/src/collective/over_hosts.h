#pragma once

#include "collective/hosts.h"

namespace troupe::collective {

/// Operations of a group that spans hosts, through a leader a host; see the functions of the same names without OverHosts.
/// What the hosts' ranks give is joined in rank order, then what the hosts give in the order of their first ranks.

/// Whether a reduction can be taken in two steps with the result of one: the average of whole numbers and what would be
/// rounded twice cannot.
bool reducesInSteps(DataType type, Reduction reduction);

void reduceOverHosts(Hosts& hosts, const uint8_t* in, uint8_t* out, size_t count, const Signature& signature);
void reduceScatterOverHosts(Hosts& hosts, const uint8_t* in, uint8_t* out, const size_t* counts, const Signature& signature);
void broadcastOverHosts(Hosts& hosts, uint8_t* data, size_t bytes, const Signature& signature);
void allGatherOverHosts(Hosts& hosts, const uint8_t* in, const size_t* bytes, uint8_t* out, const Signature& signature);
void barrierOverHosts(Hosts& hosts, const Signature& signature);

}  // namespace troupe::collective
