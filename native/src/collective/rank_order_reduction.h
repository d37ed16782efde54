#pragma once

#include <vector>

#include "collective/group.h"
#include "collective/reduction/reduction.h"
#include "collective/shared/staging.h"
#include "collective/shares.h"

namespace troupe::collective {

/// A reduction as one rank of it sees it, to one root or to every rank. The ranks' values are joined in rank order.
///
/// Two ranks, and small sizes, exchange everything and each that receives reduces all of it; otherwise every rank reduces a share,
/// and the shares are exchanged (reduce-scatter, then all-gather: Rabenseifner, "Optimization of Collective Reduction
/// Operations", ICCS 2004), in pieces so that both phases overlap. Unlike a ring this keeps the order, and moves as much.
class RankOrderReduction {
 public:
  /// The root of a reduction whose result every rank gets.
  static constexpr int kEveryRank = -1;

  /// The root is that of `signature`. Throws std::invalid_argument for a type that cannot be reduced.
  RankOrderReduction(Group& group, const uint8_t* in, uint8_t* out, size_t count, const Signature& signature);

  /// Throws CollectiveError.
  void run();

 private:
  void stageAll(Staging& staging);
  void stageShares(Staging& staging);
  void sendAll();
  void sendShares();

  void locatePiece(size_t piece, size_t perPiece);
  // Bytes from the located piece's start to a rank's share of it, and how many that share has.
  size_t shareAt(int rank) const { return shareStart(length_, width_, size_, rank) * width_; }
  size_t shareBytes(int rank) const { return shareAt(rank + 1) - shareAt(rank); }
  // Where this rank's reduced share of the located piece goes.
  uint8_t* reduced(size_t piece);

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

}  // namespace troupe::collective
