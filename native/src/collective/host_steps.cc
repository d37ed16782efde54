#include "collective/host_steps.h"

#include <cstring>

#include "collective/shares.h"

namespace troupe::collective {

HostSteps::HostSteps(Hosts& hosts, const Signature& signature)
    : local(hosts.local(signature)),
      leads(hosts.leader(hosts.own(), signature.root) == hosts.members(hosts.own())[static_cast<size_t>(local.rank())]),
      leaders(hosts.leaders(signature, signature.root)), leader(hosts.place(hosts.leader(hosts.own(), signature.root))) {
  if (Staging* staging = hosts.staging()) part.emplace(*staging, signature);
}

bool reducesInSteps(DataType type, Reduction reduction) {
  if (reduction == Reduction::Minimum || reduction == Reduction::Maximum) return true;
  if (type == DataType::Float16 || type == DataType::BFloat16) return false;
  return type == DataType::Float32 || reduction != Reduction::Average;
}

Reduction partialOf(Reduction reduction) { return reduction == Reduction::Average ? Reduction::Sum : reduction; }

void finishReduction(uint8_t* data, size_t count, const Signature& signature, int ranks) {
  if (signature.reduction != Reduction::Average) return;
  for (size_t i = 0; i < count; i++) {
    float value;
    std::memcpy(&value, data + i * sizeof value, sizeof value);
    value /= static_cast<float>(ranks);
    std::memcpy(data + i * sizeof value, &value, sizeof value);
  }
}

int rankCount(const Hosts& hosts) {
  size_t count = 0;
  for (int host = 0; host < hosts.count(); host++) count += hosts.members(host).size();
  return static_cast<int>(count);
}

void regroup(const Hosts& hosts, const std::vector<size_t>& offsets, const uint8_t* from, uint8_t* to, bool toRankOrder) {
  size_t at = 0;
  for (int host = 0; host < hosts.count(); host++) {
    for (int rank : hosts.members(host)) {
      const size_t inRankOrder = offsets[static_cast<size_t>(rank)], length = offsets[static_cast<size_t>(rank) + 1] - inRankOrder;
      toRankOrder ? copyBytes(to + inRankOrder, from + at, length) : copyBytes(to + at, from + inRankOrder, length);
      at += length;
    }
  }
}

std::vector<size_t> ofOwnHost(const Hosts& hosts, const size_t* sizes) {
  std::vector<size_t> own;
  for (int rank : hosts.members(hosts.own())) own.push_back(sizes[rank]);
  return own;
}

std::vector<size_t> byHost(const Hosts& hosts, const size_t* sizes) {
  std::vector<size_t> sums;
  for (int host = 0; host < hosts.count(); host++) {
    sums.push_back(0);
    for (int rank : hosts.members(host)) sums.back() += sizes[rank];
  }
  return sums;
}

}  // namespace troupe::collective
