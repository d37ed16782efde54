#pragma once

#include "collective/group.h"

namespace troupe::collective {

/// Reduces `count` elements over all ranks to `out` of the root; the others' `out` may be null. Otherwise as allReduce().
void reduce(Group& group, const uint8_t* in, uint8_t* out, size_t count, DataType type, Reduction reduction, int root);

}  // namespace troupe::collective
