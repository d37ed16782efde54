#include "collective/gather.h"

#include "collective/shared/staging.h"
#include "collective/shares.h"

namespace troupe::collective {

void gather(Group& group, const uint8_t* in, const size_t* bytes, uint8_t* out, int root, DataType type) {
  const int size = group.size(), rank = group.rank();
  const auto offsets = offsetsOf(bytes, size);
  const auto own = static_cast<size_t>(rank);
  if (rank == root) copyBytes(out + offsets[own], in, bytes[own]);
  if (size == 1) return;
  const Signature signature{OperationKind::Gather, type, Reduction::Sum, 0, root, offsets.back(), layoutOf(bytes, size)};

  if (Staging* staging = group.staging()) {
    constexpr size_t piece = Staging::kBytes;
    staging->run(
        signature, piecesIn(*std::max_element(bytes, bytes + size), piece), Staging::Ahead::Yes,
        [&](size_t round, uint8_t* slot) {
          if (rank != root) copyBytes(slot, in + round * piece, pieceBytes(bytes[own], piece, round));
        },
        [&](size_t round) {
          for (int peer = 0; peer < size && rank == root; peer++) {
            const auto p = static_cast<size_t>(peer);
            if (peer != root) copyBytes(out + offsets[p] + round * piece, staging->of(peer), pieceBytes(bytes[p], piece, round));
          }
        });
    return;
  }

  auto& transfers = group.transfers();
  if (rank != root) transfers.push_back({root, true, const_cast<uint8_t*>(in), bytes[own]});
  for (int peer = 0; peer < size && rank == root; peer++) {
    const auto p = static_cast<size_t>(peer);
    if (peer != root) transfers.push_back({peer, false, out + offsets[p], bytes[p]});
  }
  group.transfer(signature, transfers);
}

}  // namespace troupe::collective
