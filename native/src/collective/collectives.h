#pragma once

#include "collective/all_gather.h"
#include "collective/all_to_all.h"
#include "collective/barrier.h"
#include "collective/broadcast.h"
#include "collective/gather.h"
#include "collective/point_to_point.h"
#include "collective/reduce.h"
#include "collective/reduce_scatter.h"
#include "collective/scatter.h"

namespace troupe::collective {

/// Sums `count` floats over all ranks, in place.
inline void allReduceSum(Communicator& group, float* data, size_t count) {
  auto* bytes = reinterpret_cast<uint8_t*>(data);
  allReduce(group, bytes, bytes, count, DataType::Float32, Reduction::Sum);
}

}  // namespace troupe::collective
