#pragma once

#include "collective/communicator.h"

namespace troupe::collective {

/// Sums `count` floats over all ranks, in place. Every rank adds in rank order, so that all get the same bits on every
/// run. Up to 32 KiB each rank sends its values to every other; above, ranks reduce a slice each and exchange slices
/// (reduce-scatter, then all-gather: Rabenseifner, "Optimization of Collective Reduction Operations", ICCS 2004).
void allReduceSum(Communicator& group, float* data, size_t count);

/// Concatenates every rank's bytes in rank order: rank r gives `bytes[r]` bytes. `out` holds the sum of them and may
/// contain `in` at its place.
void allGather(Communicator& group, const uint8_t* in, const size_t* bytes, uint8_t* out);

/// Sends to every rank its slice and receives one from each: slice r of `in` (of `sendBytes[r]` bytes) goes to rank r,
/// and what rank r sent here (`receiveBytes[r]` bytes) lands at slice r of `out`.
void allToAll(Communicator& group, const uint8_t* in, const size_t* sendBytes, uint8_t* out, const size_t* receiveBytes);

void send(Communicator& group, int to, const uint8_t* data, size_t bytes);
void receive(Communicator& group, int from, uint8_t* data, size_t bytes);

}  // namespace troupe::collective
