#include "collective/broadcast.h"

#include "collective/host_steps.h"
#include "collective/shared/staging.h"
#include "collective/shares.h"

namespace troupe::collective {
namespace {

constexpr size_t kTreeBytes = 64 << 10;
constexpr size_t kPieceBytes = 256 << 10;  // of a rank's share

// Ranks are counted from the root. A rank receives from the one whose number lacks its highest bit, and then serves those
// whose highest bit is above its own.
void overTree(Group& group, uint8_t* data, size_t bytes, const Signature& signature) {
  const int size = group.size(), number = (group.rank() - signature.root + size) % size;
  const auto rankOf = [&](int n) { return (n + signature.root) % size; };
  int bit = 1;
  while (bit <= number) bit <<= 1;
  if (number > 0) {
    auto& transfers = group.transfers();
    transfers.push_back({rankOf(number - bit / 2), false, data, bytes});
    group.transfer(signature, transfers);
  }
  auto& transfers = group.transfers();
  for (; number + bit < size; bit <<= 1) transfers.push_back({rankOf(number + bit), true, data, bytes});
  group.transfer(signature, transfers);
}

// In pieces: while the shares of one are exchanged, those of the next are scattered.
void overShares(Group& group, uint8_t* data, size_t bytes, const Signature& signature) {
  const int size = group.size(), rank = group.rank(), root = signature.root;
  const size_t perPiece = kPieceBytes * static_cast<size_t>(size), pieces = piecesIn(bytes, perPiece);
  for (size_t piece = 0; piece <= pieces; piece++) {
    auto& transfers = group.transfers();
    const auto add = [&](int peer, bool outgoing, size_t of, int share) {
      const size_t length = pieceBytes(bytes, perPiece, of), begin = shareStart(length, 1, size, share);
      transfers.push_back({peer, outgoing, data + of * perPiece + begin, shareStart(length, 1, size, share + 1) - begin});
    };
    for (int peer = 0; peer < size; peer++) {
      if (peer == rank) continue;
      if (piece < pieces) {  // scatter
        if (rank == root) add(peer, true, piece, peer);
        if (peer == root) add(peer, false, piece, rank);
      }
      if (piece > 0) {  // gather; the root has everything
        if (peer != root) add(peer, true, piece - 1, rank);
        if (rank != root) add(peer, false, piece - 1, peer);
      }
    }
    group.transfer(signature, transfers);
  }
}

void overHosts(Hosts& hosts, uint8_t* data, size_t bytes, const Signature& signature) {
  HostSteps steps(hosts, signature);
  if (steps.leads) broadcast(steps.leaders, data, data, bytes, hosts.hostOf(signature.root), signature.type);
  broadcast(steps.local, data, data, bytes, steps.leader, signature.type);
}

}  // namespace

void broadcast(Group& group, const uint8_t* in, uint8_t* out, size_t bytes, int root, DataType type) {
  const bool gives = group.rank() == root;
  if (gives) copyBytes(out, in, bytes);
  if (group.size() == 1) return;
  const Signature signature{OperationKind::Broadcast, type, Reduction::Sum, 0, root, bytes, 0};
  if (Hosts* hosts = group.hosts()) return overHosts(*hosts, out, bytes, signature);
  if (Staging* staging = group.staging()) {
    constexpr size_t piece = Staging::kBytes;
    staging->run(
        signature, piecesIn(bytes, piece), Staging::Ahead::Yes,
        [&](size_t round, uint8_t* slot) {
          if (gives) copyBytes(slot, out + round * piece, pieceBytes(bytes, piece, round));
        },
        [&](size_t round) {
          if (!gives) copyBytes(out + round * piece, staging->of(root), pieceBytes(bytes, piece, round));
        });
  } else if (bytes <= kTreeBytes || group.size() == 2) {
    overTree(group, out, bytes, signature);
  } else {
    overShares(group, out, bytes, signature);
  }
}

}  // namespace troupe::collective
