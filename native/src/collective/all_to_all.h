#pragma once

#include "collective/group.h"

namespace troupe::collective {

/// Sends to every rank its slice and receives one from each: slice r of `in` (of `sendBytes[r]` bytes) goes to rank r,
/// and what rank r sent here (`receiveBytes[r]` bytes) lands at slice r of `out`, which may not overlap `in`.
void allToAll(Group& group, const uint8_t* in, const size_t* sendBytes, uint8_t* out, const size_t* receiveBytes,
              DataType type = DataType::UInt8);

}  // namespace troupe::collective
