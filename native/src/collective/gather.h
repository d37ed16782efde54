#pragma once

#include "collective/group.h"

namespace troupe::collective {

/// Concatenates every rank's bytes in rank order at the root: rank r gives `bytes[r]` bytes, all ranks the same list of
/// them. Only the root's `out` is used; it holds the sum and may contain `in` at its place.
void gather(Group& group, const uint8_t* in, const size_t* bytes, uint8_t* out, int root, DataType type = DataType::UInt8);

}  // namespace troupe::collective
