#pragma once

#include <cstddef>
#include <cstdint>

namespace troupe {

/// Copies bytes that do not overlap, many of them with several threads: one core alone reaches half of the memory's speed.
void copyBytes(uint8_t* to, const uint8_t* from, size_t bytes);

/// Copies bytes that do not overlap past the caches, for what is not read soon: memory that is only written is not read first.
void streamBytes(uint8_t* to, const uint8_t* from, size_t bytes);

}  // namespace troupe
