#include "collective/reduce.h"

#include "collective/host_steps.h"
#include "collective/rank_order_reduction.h"

namespace troupe::collective {
namespace {

// Each host's ranks reduce to their leader, and the leaders to the root, which leads its own.
void overHosts(Hosts& hosts, const uint8_t* in, uint8_t* out, size_t count, const Signature& signature) {
  const Reduction step = partialOf(signature.reduction);
  HostSteps steps(hosts, signature);
  const bool keeps = steps.leads && hosts.hostOf(signature.root) == hosts.own();
  std::vector<uint8_t> passedOn(steps.leads && !keeps ? count * bytesOf(signature.type) : 0);
  uint8_t* result = steps.leads && !keeps ? passedOn.data() : out;
  reduce(steps.local, in, result, count, signature.type, step, steps.leader);
  if (!steps.leads) return;
  reduce(steps.leaders, result, result, count, signature.type, step, hosts.hostOf(signature.root));
  if (keeps) finishReduction(result, count, signature, rankCount(hosts));
}

}  // namespace

void reduce(Group& group, const uint8_t* in, uint8_t* out, size_t count, DataType type, Reduction reduction, int root) {
  const Signature signature{OperationKind::Reduce, type, reduction, 0, root, count * bytesOf(type), 0};
  Hosts* hosts = group.hosts();
  if (hosts != nullptr && reducesInSteps(type, reduction)) return overHosts(*hosts, in, out, count, signature);
  RankOrderReduction(group, in, out, count, signature).run();
}

}  // namespace troupe::collective
