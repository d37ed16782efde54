#include "collective/over_hosts.h"

#include <optional>

#include "collective/collectives.h"
#include "collective/shares.h"

namespace troupe::collective {
namespace {

/// One operation as a rank sees it: with its host's ranks, and as the leader of its host also with the other leaders.
struct Steps {
  Steps(Hosts& hosts, const Signature& signature)
      : local(hosts.local(signature)), leads(hosts.leader(hosts.own(), signature.root) == hosts.members(hosts.own())[static_cast<size_t>(local.rank())]),
        leaders(hosts.leaders(signature, signature.root)), leader(hosts.place(hosts.leader(hosts.own(), signature.root))) {
    if (Staging* staging = hosts.staging()) part.emplace(*staging, signature);
  }

  Part local;
  const bool leads;
  Part leaders;
  const int leader;  // its place among this host's ranks
  std::optional<Staging::PartOf> part;
};

Reduction partial(Reduction reduction) { return reduction == Reduction::Average ? Reduction::Sum : reduction; }

void finish(uint8_t* data, size_t count, const Signature& signature, int ranks) {
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

/// Copies ranks' slices, which lie in rank order on one side and host by host on the other.
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

}  // namespace

bool reducesInSteps(DataType type, Reduction reduction) {
  if (reduction == Reduction::Minimum || reduction == Reduction::Maximum) return true;
  if (type == DataType::Float16 || type == DataType::BFloat16) return false;
  return type == DataType::Float32 || reduction != Reduction::Average;
}

void reduceOverHosts(Hosts& hosts, const uint8_t* in, uint8_t* out, size_t count, const Signature& signature) {
  const bool toAll = signature.root < 0;
  const Reduction step = partial(signature.reduction);
  Steps steps(hosts, signature);
  std::vector<uint8_t> passedOn;
  const bool keeps = toAll || (steps.leads && hosts.hostOf(signature.root) == hosts.own());
  if (steps.leads && !keeps) passedOn.resize(count * bytesOf(signature.type));
  uint8_t* result = steps.leads && !keeps ? passedOn.data() : out;
  reduce(steps.local, in, result, count, signature.type, step, steps.leader);
  if (steps.leads && toAll) allReduce(steps.leaders, result, result, count, signature.type, step);
  if (steps.leads && !toAll) reduce(steps.leaders, result, result, count, signature.type, step, hosts.hostOf(signature.root));
  if (steps.leads && keeps) finish(result, count, signature, rankCount(hosts));
  if (toAll) broadcast(steps.local, out, out, count * bytesOf(signature.type), steps.leader, signature.type);
}

void reduceScatterOverHosts(Hosts& hosts, const uint8_t* in, uint8_t* out, const size_t* counts, const Signature& signature) {
  const size_t width = bytesOf(signature.type), ranks = static_cast<size_t>(rankCount(hosts));
  const Reduction step = partial(signature.reduction);
  Steps steps(hosts, signature);
  std::vector<size_t> bytes(counts, counts + ranks);
  for (auto& slice : bytes) slice *= width;
  const auto offsets = offsetsOf(bytes.data(), static_cast<int>(ranks));
  std::vector<uint8_t> reduced(steps.leads ? offsets.back() : 0), regrouped, slices;
  reduce(steps.local, in, reduced.data(), offsets.back() / width, signature.type, step, steps.leader);
  if (steps.leads) {
    if (!hosts.inOrder()) {
      regrouped.resize(reduced.size());
      regroup(hosts, offsets, reduced.data(), regrouped.data(), false);
      reduced.swap(regrouped);
    }
    const auto shares = byHost(hosts, counts);
    const size_t own = shares[static_cast<size_t>(hosts.own())];
    slices.resize(own * width);
    reduceScatter(steps.leaders, reduced.data(), slices.data(), shares.data(), signature.type, step);
    finish(slices.data(), own, signature, static_cast<int>(ranks));
  }
  scatter(steps.local, slices.data(), ofOwnHost(hosts, bytes.data()).data(), out, steps.leader, signature.type);
}

void broadcastOverHosts(Hosts& hosts, uint8_t* data, size_t bytes, const Signature& signature) {
  Steps steps(hosts, signature);
  if (steps.leads) broadcast(steps.leaders, data, data, bytes, hosts.hostOf(signature.root), signature.type);
  broadcast(steps.local, data, data, bytes, steps.leader, signature.type);
}

void allGatherOverHosts(Hosts& hosts, const uint8_t* in, const size_t* bytes, uint8_t* out, const Signature& signature) {
  Steps steps(hosts, signature);
  const auto sizes = byHost(hosts, bytes);
  const auto offsets = offsetsOf(bytes, rankCount(hosts));
  std::vector<uint8_t> grouped(steps.leads && !hosts.inOrder() ? offsets.back() : 0);
  uint8_t* all = hosts.inOrder() ? out : grouped.data();
  uint8_t* own = all + offsetsOf(sizes.data(), hosts.count())[static_cast<size_t>(hosts.own())];
  gather(steps.local, in, ofOwnHost(hosts, bytes).data(), own, steps.leader, signature.type);
  if (steps.leads) {
    allGather(steps.leaders, own, sizes.data(), all, signature.type);
    if (!hosts.inOrder()) regroup(hosts, offsets, all, out, true);
  }
  broadcast(steps.local, out, out, offsets.back(), steps.leader, signature.type);
}

void barrierOverHosts(Hosts& hosts, const Signature& signature) {
  Steps steps(hosts, signature);
  barrier(steps.local);
  if (steps.leads) barrier(steps.leaders);
  barrier(steps.local);
}

}  // namespace troupe::collective
