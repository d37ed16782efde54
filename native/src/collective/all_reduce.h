#pragma once

#include "collective/group.h"

namespace troupe::collective {

/// Reduces `count` elements over all ranks: every rank gives `in`, and `out` is the same on all. The ranks' values are
/// joined in rank order, wherever the ranks are, so that all get the same bits on every run. `out` may be `in`, but may not
/// overlap it otherwise.
///
/// Over several hosts in steps, where that gives the same result: to a leader a host, among the leaders, and back. On one host, in
/// memory that all ranks can map, large operands are reduced where they are: one pass, a share a rank. Otherwise as
/// RankOrderReduction says. Throws CollectiveError, and std::invalid_argument for a type that cannot be reduced.
void allReduce(Group& group, const uint8_t* in, uint8_t* out, size_t count, DataType type, Reduction reduction);

/// Sums `count` floats over all ranks, in place.
inline void allReduceSum(Group& group, float* data, size_t count) {
  auto* bytes = reinterpret_cast<uint8_t*>(data);
  allReduce(group, bytes, bytes, count, DataType::Float32, Reduction::Sum);
}

}  // namespace troupe::collective
