#include "collective/all_gather.h"

#include "collective/broadcast.h"
#include "collective/gather.h"
#include "collective/host_steps.h"
#include "collective/shared/staging.h"
#include "collective/shares.h"
#include "memory/copy.h"

namespace troupe::collective {
namespace {

constexpr size_t kMappedBytes = 16 << 10;  // from which on it pays to tell each other where the operands are

void overHosts(Hosts& hosts, const uint8_t* in, const size_t* bytes, uint8_t* out, const Signature& signature) {
  HostSteps steps(hosts, signature);
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

// Every rank reads all inputs in the same order, so that they leave memory once for all of them. False where some operand
// cannot be mapped.
bool whereOperandsAre(Staging& staging, size_t own, const uint8_t* in, const size_t* bytes, uint8_t* out,
                      const std::vector<size_t>& offsets, const Signature& signature) {
  Staging::Operands operands;
  if (!staging.share(signature, in, bytes[own], out, offsets.back(), &operands)) return false;
  const bool streams = isStreamed(offsets.back());
  for (size_t p = 0; p < operands.in.size(); p++) {
    const uint8_t* from = operands.in[p];
    uint8_t* to = out + offsets[p];
    if (to == from) continue;
    SharedMemory::populateAround(from, bytes[p]);
    streams ? streamBytes(to, from, bytes[p]) : copyBytes(to, from, bytes[p]);
  }
  staging.finish(signature);
  return true;
}

}  // namespace

void allGather(Group& group, const uint8_t* in, const size_t* bytes, uint8_t* out, DataType type) {
  const int size = group.size(), rank = group.rank();
  const auto offsets = offsetsOf(bytes, size);
  const auto own = static_cast<size_t>(rank);
  if (size == 1) return copyBytes(out, in, bytes[own]);
  const Signature signature{OperationKind::AllGather, type, Reduction::Sum, 0, -1, offsets.back(), layoutOf(bytes, size)};

  Staging* staging = group.staging();
  if (staging != nullptr && offsets.back() >= kMappedBytes && whereOperandsAre(*staging, own, in, bytes, out, offsets, signature)) return;
  copyBytes(out + offsets[own], in, bytes[own]);
  if (Hosts* hosts = group.hosts()) return overHosts(*hosts, in, bytes, out, signature);
  if (staging != nullptr) {
    constexpr size_t piece = Staging::kBytes;
    staging->run(
        signature, piecesIn(*std::max_element(bytes, bytes + size), piece), Staging::Ahead::Yes,
        [&](size_t round, uint8_t* slot) { copyBytes(slot, in + round * piece, pieceBytes(bytes[own], piece, round)); },
        [&](size_t round) {
          for (int peer = 0; peer < size; peer++) {
            const auto p = static_cast<size_t>(peer);
            if (peer != rank) copyBytes(out + offsets[p] + round * piece, staging->of(peer), pieceBytes(bytes[p], piece, round));
          }
        });
    return;
  }

  auto& transfers = group.transfers();
  for (int peer = 0; peer < size; peer++) {
    if (peer == rank) continue;
    const auto p = static_cast<size_t>(peer);
    transfers.push_back({peer, true, const_cast<uint8_t*>(in), bytes[own]});
    transfers.push_back({peer, false, out + offsets[p], bytes[p]});
  }
  group.transfer(signature, transfers);
}

}  // namespace troupe::collective
