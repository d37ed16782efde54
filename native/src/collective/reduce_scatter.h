#pragma once

#include "collective/group.h"

namespace troupe::collective {

/// Reduces slice by slice: `in` is a row of slices, `counts[r]` elements for rank r, and `out` gets this rank's slice
/// reduced over all ranks, in rank order. All ranks give the same counts. `out` may be this rank's slice of `in`.
void reduceScatter(Group& group, const uint8_t* in, uint8_t* out, const size_t* counts, DataType type, Reduction reduction);

}  // namespace troupe::collective
