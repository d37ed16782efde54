#pragma once

#include "collective/group.h"

namespace troupe::collective {

/// Gives every rank the root's `bytes` bytes: the root's `in` arrives in every `out`. Only the root's `in` is used, and the
/// two may be the same.
///
/// Between hosts small sizes travel a binomial tree; large ones are scattered, and the ranks exchange the shares (van de
/// Geijn: Barnett et al., "Interprocessor collective communication library", 1994), so that no rank sends them p times.
void broadcast(Group& group, const uint8_t* in, uint8_t* out, size_t bytes, int root, DataType type = DataType::UInt8);

}  // namespace troupe::collective
