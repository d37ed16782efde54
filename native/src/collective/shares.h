#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

namespace troupe::collective {

/// Where the share of `rank` begins when `count` elements of `width` bytes are divided among `size` ranks. Shares are whole
/// cache lines but for the last, and differ by a line at most.
inline size_t shareStart(size_t count, size_t width, int size, int rank) {
  const size_t perLine = 64 / width, lines = (count + perLine - 1) / perLine;
  return std::min(count, lines * static_cast<size_t>(rank) / static_cast<size_t>(size) * perLine);
}

/// The part of `total` bytes that the pieces of `piece` bytes before number `round` leave to it.
inline size_t pieceBytes(size_t total, size_t piece, size_t round) {
  return round * piece < total ? std::min(piece, total - round * piece) : 0;
}

inline size_t piecesIn(size_t total, size_t piece) { return (total + piece - 1) / piece; }

/// Where each rank's slice begins in a row of slices of these sizes; the last entry is the sum.
inline std::vector<size_t> offsetsOf(const size_t* bytes, int size) {
  std::vector<size_t> offsets(static_cast<size_t>(size) + 1);
  for (size_t rank = 0; rank < static_cast<size_t>(size); rank++) offsets[rank + 1] = offsets[rank] + bytes[rank];
  return offsets;
}

/// Whether the result of an operation of `bytes` bytes is written past the caches, which cannot hold it until it is read.
inline bool isStreamed(size_t bytes) { return bytes >= size_t{16} << 20; }

/// memmove that takes null for no bytes, and leaves out a copy of something to itself.
inline void copyBytes(uint8_t* to, const uint8_t* from, size_t bytes) {
  if (bytes > 0 && to != from) std::memmove(to, from, bytes);
}

}  // namespace troupe::collective
