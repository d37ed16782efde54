#pragma once

#include "collective/group.h"

namespace troupe::collective {

/// Reduces `count` elements over all ranks: every rank gives `in`, and `out` is the same on all. The ranks' values are
/// joined in rank order, wherever the ranks are, so that all get the same bits on every run. `out` may be `in`, but may not
/// overlap it otherwise.
///
/// On one host, in memory that all ranks can map, large operands are reduced where they are: one pass, a share a rank.
/// Otherwise two ranks, and small sizes, exchange everything and each reduces all of it; otherwise every rank reduces a share, and
/// the shares are exchanged (reduce-scatter, then all-gather: Rabenseifner, "Optimization of Collective Reduction
/// Operations", ICCS 2004), in pieces so that both phases overlap. Unlike a ring this keeps the order, and moves as much.
/// Throws CollectiveError, and std::invalid_argument for a type that cannot be reduced.
void allReduce(Group& group, const uint8_t* in, uint8_t* out, size_t count, DataType type, Reduction reduction);

/// The same, but only the root gets the result; the others' `out` may be null.
void reduce(Group& group, const uint8_t* in, uint8_t* out, size_t count, DataType type, Reduction reduction, int root);

}  // namespace troupe::collective
