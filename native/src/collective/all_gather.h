#pragma once

#include "collective/group.h"

namespace troupe::collective {

/// Concatenates every rank's bytes in rank order: rank r gives `bytes[r]` bytes, all ranks the same list of them. `out`
/// holds the sum and may contain `in` at its place.
void allGather(Group& group, const uint8_t* in, const size_t* bytes, uint8_t* out, DataType type = DataType::UInt8);

}  // namespace troupe::collective
