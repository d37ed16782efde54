#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "device/region.h"
#include "kernel/data_type.h"

namespace troupe::program {

/// Where the rows of a matrix are in a file: row r begins at `offset` + order[r] * `stride`, or, without an order, r * `stride`.
struct FileRows {
  int fd;
  size_t offset, stride;
  std::vector<uint32_t> order = {};
};

/// Reads the rows of a weight [rows, columns] from a file and packs them for products, on so many threads. Memory is populated
/// as it is filled, and a thread has a few hundred KiB of the file beside it. Returns the first block, counted row by row, whose
/// scale is infinite or not a number, or -1. Throws std::invalid_argument for a type that cannot be packed or a place of another
/// size, and std::runtime_error where the file cannot be read or ends before.
int64_t packFile(const FileRows& from, kernel::DataType type, size_t rows, size_t columns, const Region& to, int threads);

}  // namespace troupe::program
