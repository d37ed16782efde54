#include "collective/all_to_all.h"

#include "collective/shared/staging.h"
#include "collective/shares.h"

namespace troupe::collective {
namespace {

constexpr size_t kLengthBytes = 64;  // the room before a slice's piece that says how long the whole slice is

}  // namespace

void allToAll(Group& group, const uint8_t* in, const size_t* sendBytes, uint8_t* out, const size_t* receiveBytes, DataType type) {
  const int size = group.size(), rank = group.rank();
  const auto sent = offsetsOf(sendBytes, size), received = offsetsOf(receiveBytes, size);
  const auto own = static_cast<size_t>(rank);
  copyBytes(out + received[own], in + sent[own], sendBytes[own]);
  if (size == 1) return;
  const Signature signature{OperationKind::AllToAll, type, Reduction::Sum, 0, -1, 0, 0};

  if (Staging* staging = group.staging()) {
    const size_t room = Staging::kBytes / static_cast<size_t>(size) / 64 * 64, piece = room - kLengthBytes;
    const size_t longest = std::max(*std::max_element(sendBytes, sendBytes + size), *std::max_element(receiveBytes, receiveBytes + size));
    staging->run(
        signature, piecesIn(longest, piece), Staging::Ahead::Yes,
        [&](size_t round, uint8_t* slot) {
          for (size_t peer = 0; peer < static_cast<size_t>(size); peer++) {
            if (peer == own) continue;
            const uint64_t length = sendBytes[peer];
            std::memcpy(slot + peer * room, &length, sizeof length);
            copyBytes(slot + peer * room + kLengthBytes, in + sent[peer] + round * piece, pieceBytes(length, piece, round));
          }
        },
        [&](size_t round) {
          for (int peer = 0; peer < size; peer++) {
            if (peer == rank) continue;
            const auto p = static_cast<size_t>(peer);
            const uint8_t* slot = staging->of(peer) + own * room;
            uint64_t length;
            std::memcpy(&length, slot, sizeof length);
            if (length != receiveBytes[p]) group.failSize(signature, peer, receiveBytes[p], length);
            copyBytes(out + received[p] + round * piece, slot + kLengthBytes, pieceBytes(length, piece, round));
          }
        });
    return;
  }

  auto& transfers = group.transfers();
  for (int peer = 0; peer < size; peer++) {
    if (peer == rank) continue;
    const auto p = static_cast<size_t>(peer);
    transfers.push_back({peer, true, const_cast<uint8_t*>(in) + sent[p], sendBytes[p]});
    transfers.push_back({peer, false, out + received[p], receiveBytes[p]});
  }
  group.transfer(signature, transfers);
}

}  // namespace troupe::collective
