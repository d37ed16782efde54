#pragma once

#include <cstddef>
#include <cstdint>

namespace troupe {

/// Copies bytes that do not overlap, many of them with several threads: one core alone reaches half of the memory's speed.
void copyBytes(uint8_t* to, const uint8_t* from, size_t bytes);

}  // namespace troupe
