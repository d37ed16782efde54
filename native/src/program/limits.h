#pragma once

#include <cstddef>

namespace troupe::program {

/// Bytes a second that threads together read from `bytes` of memory, best of a few rounds.
double readRate(size_t bytes, int threads);

/// Independent float32 multiply-adds a second that threads together do, best of a few rounds.
double multiplyAddRate(int threads);

}  // namespace troupe::program
