#pragma once

#include "collective/group.h"

namespace troupe::collective {

/// Gives every rank its slice of what the root holds: slice r of the root's `in`, of `bytes[r]` bytes, arrives in rank r's
/// `out`. All ranks give the same list of sizes; only the root's `in` is used, and its `out` may be its slice of it.
void scatter(Group& group, const uint8_t* in, const size_t* bytes, uint8_t* out, int root, DataType type = DataType::UInt8);

}  // namespace troupe::collective
