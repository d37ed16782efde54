#include "collective/rank_order_reduction.h"

#include <algorithm>

namespace troupe::collective {
namespace {

constexpr size_t kDirectBytes = 32 << 10;
constexpr size_t kPieceBytes = 96 << 10;  // of a rank's share, when sent as a message; few enough to stay in a cache until they are read
constexpr size_t kShareBytes = kPieceBytes + 64;  // the most of a rank's share of a piece
constexpr size_t kAhead = 2;                      // pieces whose values travel before the first reduced share does
constexpr size_t kBuffers = kAhead + 2;           // for pieces that are being received

}  // namespace

RankOrderReduction::RankOrderReduction(Group& group, const uint8_t* in, uint8_t* out, size_t count, const Signature& signature)
    : group_(group), size_(group.size()), rank_(group.rank()), in_(in), out_(out), count_(count), signature_(signature),
      width_(bytesOf(signature.type)), receives_(signature.root == kEveryRank || signature.root == rank_),
      reduce_(reduceOf(signature.type, signature.reduction)), sources_(static_cast<size_t>(size_)) {}

void RankOrderReduction::run() {
  const size_t bytes = count_ * width_;
  if (size_ == 1) return copyBytes(out_, in_, bytes);
  if (Staging* staging = group_.staging()) {
    size_ == 2 || bytes <= kDirectBytes ? stageAll(*staging) : stageShares(*staging);
  } else {
    bytes <= kDirectBytes ? sendAll() : sendShares();
  }
}

void RankOrderReduction::stageAll(Staging& staging) {
  constexpr size_t piece = Staging::kBytes;
  const size_t bytes = count_ * width_;
  staging.run(
      signature_, piecesIn(bytes, piece), Staging::Ahead::Yes,
      [&](size_t round, uint8_t* slot) {
        if (size_ > 2 || signature_.root != rank_) copyBytes(slot, in_ + round * piece, pieceBytes(bytes, piece, round));
      },
      [&](size_t round) {
        if (!receives_ || bytes == 0) return;
        for (int r = 0; r < size_; r++) sources_[static_cast<size_t>(r)] = r == rank_ ? in_ + round * piece : staging.of(r);
        reduce_(out_ + round * piece, sources_.data(), size_, pieceBytes(bytes, piece, round) / width_);
      });
}

// Steps alternate between the two phases, the second one behind: scatter 0, scatter 1, gather 0, scatter 2, gather 1, …
void RankOrderReduction::stageShares(Staging& staging) {
  const size_t perPiece = Staging::kBytes / width_, pieces = piecesIn(count_, perPiece);
  const auto gathers = [&](size_t round) { return round == 2 * pieces - 1 || (round > 0 && round % 2 == 0); };
  const auto pieceOf = [&](size_t round) { return gathers(round) ? (round - 1) / 2 : (round + 1) / 2; };
  const auto locate = [&](size_t round) { locatePiece(pieceOf(round), perPiece); };
  staging.run(
      signature_, 2 * pieces, pieces > 1 ? Staging::Ahead::Yes : Staging::Ahead::No,
      [&](size_t round, uint8_t* slot) {
        locate(round);
        if (gathers(round)) {
          copyBytes(slot, reduced(pieceOf(round)), shareBytes(rank_));
        } else {
          copyBytes(slot, in_ + begin_, shareAt(rank_));
          const size_t after = shareAt(rank_ + 1);
          copyBytes(slot + after, in_ + begin_ + after, shareAt(size_) - after);
        }
      },
      [&](size_t round) {
        locate(round);
        if (gathers(round)) {
          for (int r = 0; r < size_ && receives_; r++) {
            if (r != rank_) copyBytes(out_ + begin_ + shareAt(r), staging.of(r), shareBytes(r));
          }
        } else {
          for (int r = 0; r < size_; r++) {
            sources_[static_cast<size_t>(r)] = r == rank_ ? in_ + begin_ + shareAt(r) : staging.of(r) + shareAt(rank_);
          }
          reduce_(reduced(pieceOf(round)), sources_.data(), size_, shareBytes(rank_) / width_);
        }
      });
}

void RankOrderReduction::sendAll() {
  const size_t bytes = count_ * width_;
  uint8_t* received = group_.scratch(bytes * static_cast<size_t>(size_));
  auto& transfers = group_.transfers();
  for (int peer = 0; peer < size_; peer++) {
    uint8_t* from = received + static_cast<size_t>(peer) * bytes;
    sources_[static_cast<size_t>(peer)] = peer == rank_ ? in_ : from;
    if (peer == rank_) continue;
    if (signature_.root == kEveryRank || signature_.root == peer) transfers.push_back({peer, true, const_cast<uint8_t*>(in_), bytes});
    if (receives_) transfers.push_back({peer, false, from, bytes});
  }
  group_.transfer(signature_, transfers);
  if (receives_ && count_ > 0) reduce_(out_, sources_.data(), size_, count_);
}

// Both phases are one stream of messages: the values of piece i travel before the reduced shares of piece i - kAhead, so
// that ranks which fall behind each other a little need not wait.
void RankOrderReduction::sendShares() {
  const size_t perPiece = kPieceBytes / width_ * static_cast<size_t>(size_), pieces = piecesIn(count_, perPiece),
               others = static_cast<size_t>(size_) - 1;
  struct Part {
    size_t piece;
    enum { Values, Reduced } of;
  };
  std::vector<Part> parts;
  std::vector<size_t> steps;  // the first part of each step
  std::vector<Transfer> transfers;
  uint8_t* received = group_.scratch(kBuffers * static_cast<size_t>(size_) * kShareBytes);
  const auto placeOf = [&](size_t piece, int peer) {
    return received + (piece % kBuffers * static_cast<size_t>(size_) + static_cast<size_t>(peer)) * kShareBytes;
  };
  const auto add = [&](Transfer transfer, Part part) {
    transfers.push_back(transfer);
    parts.push_back(part);
  };
  for (size_t step = 0; step < pieces + kAhead; step++) {
    steps.push_back(parts.size());
    for (int peer = 0; peer < size_ && step < pieces; peer++) {
      if (peer == rank_) continue;
      locatePiece(step, perPiece);
      add({peer, true, const_cast<uint8_t*>(in_) + begin_ + shareAt(peer), shareBytes(peer)}, {step, Part::Values});
      add({peer, false, placeOf(step, peer), shareBytes(rank_), {}, step < kBuffers}, {step, Part::Values});
    }
    for (int peer = 0; peer < size_ && step >= kAhead; peer++) {
      if (peer == rank_) continue;
      const size_t piece = step - kAhead;
      locatePiece(piece, perPiece);
      if (signature_.root == kEveryRank || signature_.root == peer)
        add({peer, true, reduced(piece), shareBytes(rank_), {}, false}, {piece, Part::Reduced});
      if (receives_) add({peer, false, out_ + begin_ + shareAt(peer), shareBytes(peer)}, {piece, Part::Reduced});
    }
  }
  steps.push_back(parts.size());
  const auto makeReady = [&](size_t piece, bool outgoing, int of) {
    if (piece >= pieces) return;
    const size_t step = of == Part::Values ? piece : piece + kAhead;
    for (size_t i = steps[step]; i < steps[step + 1]; i++) {
      if (parts[i].of == of && transfers[i].outgoing == outgoing) transfers[i].ready = true;
    }
  };
  const size_t sends = signature_.root == kEveryRank ? others : signature_.root == rank_ ? 0 : 1;
  std::vector<size_t> missing(pieces, others), unsent(pieces, sends);
  const auto release = [&](size_t piece) {  // the piece's buffers
    if (missing[piece] == 0 && unsent[piece] == 0) makeReady(piece + kBuffers, false, Part::Values);
  };
  group_.transfer(signature_, transfers, [&](size_t i) {
    const auto [piece, of] = parts[i];
    if (of == Part::Reduced && transfers[i].outgoing && --unsent[piece] == 0) release(piece);
    if (of != Part::Values || transfers[i].outgoing || --missing[piece] > 0) return;
    locatePiece(piece, perPiece);
    for (int r = 0; r < size_; r++) sources_[static_cast<size_t>(r)] = r == rank_ ? in_ + begin_ + shareAt(r) : placeOf(piece, r);
    reduce_(reduced(piece), sources_.data(), size_, shareBytes(rank_) / width_);
    makeReady(piece, true, Part::Reduced);
    release(piece);
  });
}

void RankOrderReduction::locatePiece(size_t piece, size_t perPiece) {
  begin_ = piece * perPiece * width_;
  length_ = std::min(perPiece, count_ - piece * perPiece);
}

uint8_t* RankOrderReduction::reduced(size_t piece) {
  if (receives_) return out_ + begin_ + shareAt(rank_);
  passedOn_.resize(kBuffers * kShareBytes);
  return passedOn_.data() + piece % kBuffers * kShareBytes;
}

}  // namespace troupe::collective
