#include "collective/reduce_scatter.h"

#include "collective/over_hosts.h"
#include "collective/reduction/reduction.h"
#include "collective/shared/staging.h"
#include "collective/shares.h"

namespace troupe::collective {
namespace {

constexpr size_t kPieceBytes = 256 << 10;

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
  if (hosts != nullptr && reducesInSteps(type, reduction)) return reduceScatterOverHosts(*hosts, in, out, counts, signature);
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
      transfers.push_back({peer, true, const_cast<uint8_t*>(in) + offsets[p] + round * kPieceBytes, pieceBytes(bytes[p], kPieceBytes, round)});
      transfers.push_back({peer, false, from, length});
    }
    group.transfer(signature, transfers);
    reducePiece(round, kPieceBytes);
  }
}

}  // namespace troupe::collective
