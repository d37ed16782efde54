#include "collective/scatter.h"

#include "collective/shared/staging.h"
#include "collective/shares.h"

namespace troupe::collective {

void scatter(Group& group, const uint8_t* in, const size_t* bytes, uint8_t* out, int root, DataType type) {
  const int size = group.size(), rank = group.rank();
  const auto offsets = offsetsOf(bytes, size);
  const auto own = static_cast<size_t>(rank);
  if (rank == root) copyBytes(out, in + offsets[own], bytes[own]);
  if (size == 1) return;
  const Signature signature{OperationKind::Scatter, type, Reduction::Sum, 0, root, offsets.back(), layoutOf(bytes, size)};

  if (Staging* staging = group.staging()) {
    const size_t piece = Staging::kBytes / static_cast<size_t>(size) / 64 * 64;
    staging->run(
        signature, piecesIn(*std::max_element(bytes, bytes + size), piece), Staging::Ahead::Yes,
        [&](size_t round, uint8_t* slot) {
          for (int peer = 0; peer < size && rank == root; peer++) {
            const auto p = static_cast<size_t>(peer);
            if (peer != root) copyBytes(slot + p * piece, in + offsets[p] + round * piece, pieceBytes(bytes[p], piece, round));
          }
        },
        [&](size_t round) {
          if (rank != root) copyBytes(out + round * piece, staging->of(root) + own * piece, pieceBytes(bytes[own], piece, round));
        });
    return;
  }

  auto& transfers = group.transfers();
  if (rank != root) transfers.push_back({root, false, out, bytes[own]});
  for (int peer = 0; peer < size && rank == root; peer++) {
    const auto p = static_cast<size_t>(peer);
    if (peer != root) transfers.push_back({peer, true, const_cast<uint8_t*>(in) + offsets[p], bytes[p]});
  }
  group.transfer(signature, transfers);
}

}  // namespace troupe::collective
