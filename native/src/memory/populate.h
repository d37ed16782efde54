#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace troupe {

/// Has the kernel make memory of this process that is about to be written present, whole pages around it, in one call: on
/// virtual machines a page that is first touched costs many times what a copy of it does. Nothing where the kernel cannot
/// (before Linux 5.14), or has no memory left: pages then come when they are touched.
void populate(const void* start, size_t bytes) noexcept;

/// What of a mapping has been populated, so that what is used again costs a look. Several threads may use it at once.
class PopulatedRanges {
 public:
  PopulatedRanges(uint8_t* start, size_t bytes);
  ~PopulatedRanges();
  PopulatedRanges(const PopulatedRanges&) = delete;
  PopulatedRanges& operator=(const PopulatedRanges&) = delete;

  /// Populates what of these bytes has not been, in pieces of 64 KiB; nothing for a range of a few pages, whose faults cost less.
  /// A range whose pages were taken away and came back is told by another `epoch`, which is not 0.
  void ensure(size_t offset, size_t bytes, uint8_t epoch = 1);

 private:
  size_t count() const;

  uint8_t* const start_;
  const size_t bytes_;
  std::atomic<uint8_t>* epochs_ = nullptr;  // in which each piece was populated, or 0; none for a few pages
};

}  // namespace troupe
