#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace troupe {

/// A byte queue with one writer and one reader, which may be different processes. It lives in memory handed to it (a
/// control block followed by `capacity` bytes) and never blocks: both ends move what fits and say how much that was.
class Ring {
 public:
  struct Control {
    alignas(64) std::atomic<uint64_t> written{0};
    alignas(64) std::atomic<uint64_t> read{0};
  };

  /// Bytes of memory that a ring of `capacity` bytes (a power of two) occupies.
  static size_t footprint(size_t capacity) { return sizeof(Control) + capacity; }

  Ring() = default;
  Ring(uint8_t* memory, size_t capacity)
      : control_(reinterpret_cast<Control*>(memory)), data_(memory + sizeof(Control)), capacity_(capacity) {}

  size_t write(const uint8_t* from, size_t bytes);
  size_t read(uint8_t* to, size_t bytes);
  size_t readable() const;

  /// The longest contiguous run of readable bytes, to be passed to a system call and then given to consume().
  const uint8_t* peek(size_t* bytes) const;
  void consume(size_t bytes);

  /// The longest contiguous run of free bytes, to be filled by a system call and then given to produce().
  uint8_t* reserve(size_t* bytes) const;
  void produce(size_t bytes);

 private:
  Control* control_ = nullptr;
  uint8_t* data_ = nullptr;
  size_t capacity_ = 0;
};

}  // namespace troupe
