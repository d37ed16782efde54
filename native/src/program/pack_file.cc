#include "program/pack_file.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <string>
#include <system_error>
#include <unistd.h>

#include "kernel/kernels.h"
#include "program/thread_pool.h"

namespace troupe::program {
namespace {

/// What a core's own cache holds beside what it is turned into.
constexpr size_t kBandBytes = 128 << 10;
constexpr int64_t kNone = std::numeric_limits<int64_t>::max();

void readAll(int fd, uint8_t* into, size_t bytes, size_t position) {
  while (bytes > 0) {
    const ssize_t count = pread(fd, into, bytes, static_cast<off_t>(position));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw std::system_error(errno, std::generic_category(), "cannot read a weight");
    if (count == 0)
      throw std::runtime_error("expected " + std::to_string(bytes) + " bytes at " + std::to_string(position) + ", found its end");
    into += count;
    position += static_cast<size_t>(count);
    bytes -= static_cast<size_t>(count);
  }
}

void readRows(const FileRows& from, size_t first, size_t count, size_t rowBytes, uint8_t* into) {
  if (from.order.empty() && from.stride == rowBytes) return readAll(from.fd, into, count * rowBytes, from.offset + first * rowBytes);
  for (size_t i = 0; i < count; i++) {
    const size_t row = from.order.empty() ? first + i : from.order[first + i];
    readAll(from.fd, into + i * rowBytes, rowBytes, from.offset + row * from.stride);
  }
}

/// The first of blocks that begin with a scale in float16 which is infinite or not a number, or kNone.
int64_t unsoundBlock(const uint8_t* blocks, size_t count, size_t blockBytes) {
  for (size_t i = 0; i < count; i++) {
    uint16_t scale;
    std::memcpy(&scale, blocks + i * blockBytes, sizeof scale);
    if ((scale & 0x7c00) == 0x7c00) return static_cast<int64_t>(i);
  }
  return kNone;
}

void keepLeast(std::atomic<int64_t>& least, int64_t found) {
  int64_t known = least.load(std::memory_order_relaxed);
  while (found < known && !least.compare_exchange_weak(known, found, std::memory_order_relaxed)) {
  }
}

}  // namespace

int64_t packFile(const FileRows& from, kernel::DataType type, size_t rows, size_t columns, const Region& to, int threads) {
  const auto& kernels = kernel::kernels();
  const auto block = kernel::blockSizeOf(type);
  const size_t rowBytes = kernel::rowBytes(type, columns), packedBytes = kernels.packedBytes(type, rows, columns);
  if (rows == 0) return -1;
  if (packedBytes == 0) throw std::invalid_argument("expected a type that can be packed");
  if (to.bytes != packedBytes || to.gpu()) throw std::invalid_argument("expected host memory of " + std::to_string(packedBytes) + " bytes");
  if (!from.order.empty() && from.order.size() != rows) throw std::invalid_argument("expected an order of all rows");

  const size_t bandRows = std::max<size_t>(1, kBandBytes / rowBytes / kernel::kPackedRows) * kernel::kPackedRows;
  const size_t bands = (rows + bandRows - 1) / bandRows;
  std::atomic<int64_t> unsound{kNone};
  ThreadPool pool(static_cast<int>(std::min<size_t>(static_cast<size_t>(threads), bands)));
  std::vector<std::vector<uint8_t>> buffers(static_cast<size_t>(pool.size()));
  pool.forEach(bands, 1, [&](size_t begin, size_t end, int thread) {
    auto& band = buffers[static_cast<size_t>(thread)];
    band.resize(bandRows * rowBytes);
    for (size_t first = begin * bandRows; first < std::min(end * bandRows, rows); first += bandRows) {
      const size_t count = std::min(bandRows, rows - first), blocks = count * columns / block.elements;
      readRows(from, first, count, rowBytes, band.data());
      if (block.elements > 1) {
        const int64_t found = unsoundBlock(band.data(), blocks, block.bytes);
        if (found != kNone) keepLeast(unsound, static_cast<int64_t>(first * columns / block.elements) + found);
      }
      const size_t start = kernels.packedBytes(type, first, columns);
      to.storage->populate(to.data - to.storage->data() + start, kernels.packedBytes(type, first + count, columns) - start);
      kernels.pack(band.data(), type, count, columns, to.data + start);
    }
  });
  const int64_t found = unsound.load();
  return found == kNone ? -1 : found;
}

}  // namespace troupe::program
