#include "memory/populate.h"

#include <algorithm>
#include <cerrno>
#include <sys/mman.h>

namespace troupe {
namespace {

constexpr size_t kPage = 4096, kPiece = 64 << 10;
/// Fewer bytes are left to be touched.
constexpr size_t kWorthACall = 4 * kPage;
#ifdef MADV_POPULATE_WRITE
constexpr int kPopulateWrite = MADV_POPULATE_WRITE;
#else
constexpr int kPopulateWrite = 23;
#endif

}  // namespace

void populate(const void* start, size_t bytes) noexcept {
  if (bytes == 0) return;
  const auto begin = reinterpret_cast<uintptr_t>(start) & ~(kPage - 1);
  const auto end = (reinterpret_cast<uintptr_t>(start) + bytes + kPage - 1) & ~(kPage - 1);
  const int error = errno;
  // NOLINTNEXTLINE(performance-no-int-to-ptr): the page that the memory begins in
  madvise(reinterpret_cast<void*>(begin), end - begin, kPopulateWrite);
  errno = error;
}

PopulatedRanges::PopulatedRanges(uint8_t* start, size_t bytes)
    : start_(start), bytes_(bytes), epochs_(new std::atomic<uint8_t>[(bytes + kPiece - 1) / kPiece]()) {}

void PopulatedRanges::ensure(size_t offset, size_t bytes, uint8_t epoch) {
  if (bytes < kWorthACall) return;
  const size_t end = (offset + bytes + kPiece - 1) / kPiece;
  for (size_t piece = offset / kPiece; piece < end; piece++) {
    const size_t first = piece;
    while (piece < end && epochs_[piece].load(std::memory_order_relaxed) != epoch) piece++;
    if (piece == first) continue;
    populate(start_ + first * kPiece, std::min(piece * kPiece, bytes_) - first * kPiece);
    for (size_t done = first; done < piece; done++) epochs_[done].store(epoch, std::memory_order_relaxed);
  }
}

}  // namespace troupe
