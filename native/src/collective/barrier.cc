#include "collective/barrier.h"

#include "collective/host_steps.h"
#include "collective/shared/staging.h"
namespace troupe::collective {
namespace {

void overHosts(Hosts& hosts, const Signature& signature) {
  HostSteps steps(hosts, signature);
  barrier(steps.local);
  if (steps.leads) barrier(steps.leaders);
  barrier(steps.local);
}

}  // namespace

void barrier(Group& group) {
  const Signature signature{};
  if (Hosts* hosts = group.hosts()) return overHosts(*hosts, signature);
  if (Staging* staging = group.staging()) {
    staging->run(
        signature, 1, Staging::Ahead::No, [](size_t, uint8_t*) {}, [](size_t) {});
    return;
  }
  const int size = group.size(), rank = group.rank();
  for (int distance = 1; distance < size; distance *= 2) {
    auto& transfers = group.transfers();
    transfers.push_back({(rank + distance) % size, true, nullptr, 0});
    transfers.push_back({(rank - distance + size) % size, false, nullptr, 0});
    group.transfer(signature, transfers);
  }
}

}  // namespace troupe::collective
