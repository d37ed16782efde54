#include "memory/populate.h"

#include <algorithm>
#include <cerrno>
#include <new>
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

PopulatedRanges::PopulatedRanges(uint8_t* start, size_t bytes) : start_(start), bytes_(bytes) {
  if (bytes < kWorthACall) return;
  // Not out of the heap, which would touch it: a mapping may be large and little used.
  void* epochs = mmap(nullptr, count(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (epochs == MAP_FAILED) throw std::bad_alloc();
  epochs_ = static_cast<std::atomic<uint8_t>*>(epochs);
}

PopulatedRanges::~PopulatedRanges() {
  if (epochs_ != nullptr) munmap(epochs_, count());
}

size_t PopulatedRanges::count() const { return bytes_ / kPiece + 1; }

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
