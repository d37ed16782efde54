#include "collective/reduce.h"

#include "collective/over_hosts.h"
#include "collective/reduction/reduction.h"
#include "collective/shared/staging.h"
#include "collective/shares.h"

namespace troupe::collective {
namespace {

constexpr size_t kDirectBytes = 32 << 10;
constexpr size_t kMappedBytes = 16 << 10;    // from which on it pays to tell each other where the operands are
constexpr size_t kBlockBytes = 8 << 10;     // of each operand, so that what is passed on is still in the first cache
constexpr size_t kPieceBytes = 96 << 10;    // of a rank's share, when sent as a message; few enough to stay in a cache until they are read
constexpr size_t kShareBytes = kPieceBytes + 64;  // the most of a rank's share of a piece
constexpr size_t kAhead = 2;                // pieces whose values travel before the first reduced share does
constexpr size_t kBuffers = kAhead + 2;     // for pieces that are being received
constexpr int kEveryRank = -1;

/// One reduction as a rank sees it: to the root, or to every rank.
class Reducing {
 public:
  Reducing(Group& group, const uint8_t* in, uint8_t* out, size_t count, const Signature& signature)
      : group_(group), size_(group.size()), rank_(group.rank()), in_(in), out_(out), count_(count), signature_(signature),
        width_(bytesOf(signature.type)), receives_(signature.root == kEveryRank || signature.root == rank_),
        reduce_(reduceOf(signature.type, signature.reduction)), sources_(static_cast<size_t>(size_)) {}

  void run() {
    const bool direct = size_ == 2 || count_ * width_ <= kDirectBytes;
    if (Staging* staging = group_.staging()) {
      if (signature_.root == kEveryRank && count_ * width_ >= kMappedBytes && reduceInPlace(*staging)) return;
      direct ? stageAll(*staging) : stageShares(*staging);
    } else if (count_ * width_ <= kDirectBytes) {
      sendAll();
    } else {
      sendShares();
    }
  }

 private:
  // Where all operands can be mapped, every rank reduces its share straight out of all inputs into all outputs.
  bool reduceInPlace(Staging& staging) {
    const size_t bytes = count_ * width_;
    Staging::Operands operands;
    if (!staging.share(signature_, in_, bytes, out_, bytes, &operands)) return false;
    const size_t end = shareStart(count_, width_, size_, rank_ + 1) * width_;
    for (size_t at = shareStart(count_, width_, size_, rank_) * width_; at < end; at += kBlockBytes) {
      const size_t length = std::min(kBlockBytes, end - at);
      for (size_t r = 0; r < sources_.size(); r++) {
        sources_[r] = operands.in[r] + at;
        // What will be written is fetched for that at once, rather than shared with its owner's cache first.
        if (operands.out[r] != operands.in[r]) continue;
        for (size_t line = 0; line < length; line += 64) __builtin_prefetch(sources_[r] + line, 1);
      }
      reduce_(out_ + at, sources_.data(), size_, length / width_);
      for (uint8_t* out : operands.out) copyBytes(out + at, out_ + at, length);
    }
    staging.finish(signature_);
    return true;
  }

  void stageAll(Staging& staging) {
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
  void stageShares(Staging& staging) {
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

  void sendAll() {
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
  void sendShares() {
    const size_t perPiece = kPieceBytes / width_ * static_cast<size_t>(size_), pieces = piecesIn(count_, perPiece), others = static_cast<size_t>(size_) - 1;
    struct Part {
      size_t piece;
      enum { Values, Reduced } of;
    };
    std::vector<Part> parts;
    std::vector<Transfer> transfers;
    uint8_t* received = group_.scratch(kBuffers * static_cast<size_t>(size_) * kShareBytes);
    const auto placeOf = [&](size_t piece, int peer) { return received + (piece % kBuffers * static_cast<size_t>(size_) + static_cast<size_t>(peer)) * kShareBytes; };
    const auto add = [&](Transfer transfer, Part part) {
      transfers.push_back(transfer);
      parts.push_back(part);
    };
    for (size_t step = 0; step < pieces + kAhead; step++) {
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
        if (signature_.root == kEveryRank || signature_.root == peer) add({peer, true, reduced(piece), shareBytes(rank_), {}, false}, {piece, Part::Reduced});
        if (receives_) add({peer, false, out_ + begin_ + shareAt(peer), shareBytes(peer)}, {piece, Part::Reduced});
      }
    }
    const auto makeReady = [&](size_t piece, bool outgoing, int of) {
      for (size_t i = 0; i < parts.size(); i++) {
        if (parts[i].piece == piece && parts[i].of == of && transfers[i].outgoing == outgoing) transfers[i].ready = true;
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

  void locatePiece(size_t piece, size_t perPiece) {
    begin_ = piece * perPiece * width_;
    length_ = std::min(perPiece, count_ - piece * perPiece);
  }
  // Bytes from the located piece's start to a rank's share of it, and how many that share has.
  size_t shareAt(int rank) const { return shareStart(length_, width_, size_, rank) * width_; }
  size_t shareBytes(int rank) const { return shareAt(rank + 1) - shareAt(rank); }

  // Where this rank's reduced share of the located piece goes.
  uint8_t* reduced(size_t piece) {
    if (receives_) return out_ + begin_ + shareAt(rank_);
    passedOn_.resize(kBuffers * kShareBytes);
    return passedOn_.data() + piece % kBuffers * kShareBytes;
  }

  Group& group_;
  const int size_, rank_;
  const uint8_t* in_;
  uint8_t* out_;
  const size_t count_;
  const Signature signature_;
  const size_t width_;
  const bool receives_;
  const Reduce reduce_;
  std::vector<const uint8_t*> sources_;
  std::vector<uint8_t> passedOn_;
  size_t begin_ = 0;   // the located piece, in bytes
  size_t length_ = 0;  // and in elements
};

void run(Group& group, const uint8_t* in, uint8_t* out, size_t count, const Signature& signature) {
  Hosts* hosts = group.hosts();
  if (hosts != nullptr && reducesInSteps(signature.type, signature.reduction)) return reduceOverHosts(*hosts, in, out, count, signature);
  Reducing reducing(group, in, out, count, signature);
  group.size() == 1 ? copyBytes(out, in, count * bytesOf(signature.type)) : reducing.run();
}

}  // namespace

void allReduce(Group& group, const uint8_t* in, uint8_t* out, size_t count, DataType type, Reduction reduction) {
  run(group, in, out, count, {OperationKind::AllReduce, type, reduction, 0, kEveryRank, count * bytesOf(type), 0});
}

void reduce(Group& group, const uint8_t* in, uint8_t* out, size_t count, DataType type, Reduction reduction, int root) {
  run(group, in, out, count, {OperationKind::Reduce, type, reduction, 0, root, count * bytesOf(type), 0});
}

}  // namespace troupe::collective
