#include "collective/reduce_scatter.h"

#include "collective/host_steps.h"
#include "collective/reduce.h"
#include "collective/reduction/reduction.h"
#include "collective/scatter.h"
#include "collective/shared/staging.h"
#include "collective/shares.h"

namespace troupe::collective {
namespace {

constexpr size_t kPieceBytes = 256 << 10;

void overHosts(Hosts& hosts, const uint8_t* in, uint8_t* out, const size_t* counts, const Signature& signature) {
  const size_t width = bytesOf(signature.type), ranks = static_cast<size_t>(rankCount(hosts));
  const Reduction step = partialOf(signature.reduction);
  HostSteps steps(hosts, signature);
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
    finishReduction(slices.data(), own, signature, static_cast<int>(ranks));
  }
  scatter(steps.local, slices.data(), ofOwnHost(hosts, bytes.data()).data(), out, steps.leader, signature.type);
}

}  // namespace

void reduceScatter(Group& group, const uint8_t* in, uint8_t* out, const size_t* counts, DataType type, Reduction reduction) {
  const int size = group.size(), rank = group.rank();
  const size_t width = bytesOf(type);
  const Reduce reduce = reduceOf(type, reduction);
  std::vector<size_t> bytes(counts, counts + size);
  for (auto& slice : bytes) slice *= width;
  const auto offsets = offsetsOf(bytes.data(), size);
  const size_t own = static_cast<size_t>(rank), longest = *std::max_element(bytes.begin(), bytes.end());
  if (size == 1) return copyBytes(out, in, bytes[0]);

  const Signature signature{OperationKind::ReduceScatter, type, reduction, 0, -1, offsets.back(), layoutOf(bytes.data(), size)};
  std::vector<const uint8_t*> sources(static_cast<size_t>(size));
  const auto reducePiece = [&](size_t round, size_t piece) {
    if (const size_t length = pieceBytes(bytes[own], piece, round)) reduce(out + round * piece, sources.data(), size, length / width);
  };

  Hosts* hosts = group.hosts();
  if (hosts != nullptr && reducesInSteps(type, reduction)) return overHosts(*hosts, in, out, counts, signature);
  if (Staging* staging = group.staging()) {
    const size_t piece = Staging::kBytes / static_cast<size_t>(size) / 64 * 64;
    staging->run(
        signature, piecesIn(longest, piece), Staging::Ahead::Yes,
        [&](size_t round, uint8_t* slot) {
          for (size_t peer = 0; peer < bytes.size(); peer++) {
            if (peer != own) copyBytes(slot + peer * piece, in + offsets[peer] + round * piece, pieceBytes(bytes[peer], piece, round));
          }
        },
        [&](size_t round) {
          for (int r = 0; r < size; r++) {
            sources[static_cast<size_t>(r)] = r == rank ? in + offsets[own] + round * piece : staging->of(r) + own * piece;
          }
          reducePiece(round, piece);
        });
    return;
  }

  uint8_t* received = group.scratch(static_cast<size_t>(size) * std::min(longest, kPieceBytes));
  for (size_t round = 0; round < std::max<size_t>(piecesIn(longest, kPieceBytes), 1); round++) {
    auto& transfers = group.transfers();
    const size_t length = pieceBytes(bytes[own], kPieceBytes, round);
    for (int peer = 0; peer < size; peer++) {
      const auto p = static_cast<size_t>(peer);
      uint8_t* from = received + p * length;
      sources[p] = peer == rank ? in + offsets[own] + round * kPieceBytes : from;
      if (peer == rank) continue;
      transfers.push_back(
          {peer, true, const_cast<uint8_t*>(in) + offsets[p] + round * kPieceBytes, pieceBytes(bytes[p], kPieceBytes, round)});
      transfers.push_back({peer, false, from, length});
    }
    group.transfer(signature, transfers);
    reducePiece(round, kPieceBytes);
  }
}

}  // namespace troupe::collective
