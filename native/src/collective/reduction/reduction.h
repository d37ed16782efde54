#pragma once

#include "collective/signature.h"

namespace troupe::collective {

/// out[i] = the reduction of sources[0][i], sources[1][i], … in that order, for `count` elements at any alignment.
/// float16 and bfloat16 are reduced in float32 and rounded once, to nearest even; average divides at the end. `out` may be
/// one of the sources, but may not overlap one otherwise.
using Reduce = void (*)(uint8_t* out, const uint8_t* const* sources, int sourceCount, size_t count);

/// The reduction for the instruction set that the kernels use too. Throws std::invalid_argument for UInt8.
Reduce reduceOf(DataType type, Reduction reduction);

/// One instruction set's reductions, by type and reduction.
struct ReductionTable {
  Reduce entries[kDataTypes][kReductions];
};

const ReductionTable& portableReductions();
const ReductionTable& avx2Reductions();
const ReductionTable& avx512Reductions();

}  // namespace troupe::collective
