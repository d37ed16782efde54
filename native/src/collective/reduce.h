#pragma once

#include "collective/communicator.h"

namespace troupe::collective {

/// Reduces `count` elements over all ranks: every rank gives `in`, and `out` is the same on all. The ranks' values are
/// joined in rank order, wherever the ranks are, so that all get the same bits on every run. `out` may be `in`, but may not
/// overlap it otherwise.
///
/// Two ranks, and small sizes, exchange everything and each reduces all of it; otherwise every rank reduces a share, and
/// the shares are exchanged (reduce-scatter, then all-gather: Rabenseifner, "Optimization of Collective Reduction
/// Operations", ICCS 2004), in pieces so that both phases overlap. Unlike a ring this keeps the order, and moves as much.
/// Throws CollectiveError, and std::invalid_argument for a type that cannot be reduced.
void allReduce(Communicator& group, const uint8_t* in, uint8_t* out, size_t count, DataType type, Reduction reduction);

/// The same, but only the root gets the result; the others' `out` may be null.
void reduce(Communicator& group, const uint8_t* in, uint8_t* out, size_t count, DataType type, Reduction reduction, int root);

}  // namespace troupe::collective
