#pragma once

#include "program/program.h"

namespace troupe::program {

/// Does one operation on arrays at once, on all cores that this process may use. Its operands' memory must outlive the call. Throws
/// std::invalid_argument or std::out_of_range, with nothing done, for operands, sizes and indices that are not what it takes.
void compute(const Node& node);

}  // namespace troupe::program
