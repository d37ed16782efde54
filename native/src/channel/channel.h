#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "memory/process.h"
#include "memory/shared_memory.h"
#include "sync/backoff.h"
#include "sync/parker.h"

namespace troupe {

/// A queue of messages in shared memory with one writer and a number of readers that each get every message. It is bounded
/// by messages and by bytes. A message is seen by the readers whole or not at all: what publishes it is one store, so an end
/// that is killed at any moment leaves the others with a queue that works. The memory has no name and ends with the last
/// process that maps it.
namespace channel {

struct Layout;

/// Bytes of a message, which may be in several places.
struct Piece {
  const uint8_t* data;
  size_t bytes;
};

/// A message in place. It stays until the reader has moved on.
struct Message {
  const uint8_t* data;
  size_t bytes;
  uint32_t tag;
};

/// The channel's memory as either end maps it. The ring is mapped twice in a row, so that every message is contiguous.
class Mapping {
 public:
  explicit Mapping(std::shared_ptr<SharedMemory> memory);
  ~Mapping();
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;

  Layout& layout() const { return *layout_; }
  uint8_t* ring() const { return ring_; }
  /// Where a message of `bytes` bytes that begins at a position lies, which is in one piece.
  uint8_t* at(uint64_t position, size_t bytes) const {
    const size_t offset = position & (ringBytes_ - 1);
    populated_->ensure(offset, bytes);
    return ring_ + offset;
  }
  size_t ringBytes() const { return ringBytes_; }
  SharedMemoryHandle handle() const { return memory_->handle(); }

 private:
  std::shared_ptr<SharedMemory> memory_;
  Layout* layout_;
  uint8_t* ring_;
  size_t ringBytes_;
  std::unique_ptr<PopulatedRanges> populated_;  // of the ring
};

class Writer {
 public:
  struct Options {
    /// Messages that the slowest reader may be behind.
    uint32_t messages = 16;
    /// Bytes of the ring; rounded up to a power of two of at least a page.
    size_t bytes = 1 << 16;
    uint32_t readers = 1;
  };

  Writer(const Options& options, std::shared_ptr<Waker> waker);
  ~Writer();
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  SharedMemoryHandle handle() const { return mapping_->handle(); }

  /// Bytes that a message may have at most.
  size_t limit() const;

  /// Whether a message of this size fits now; one that does will fit until the next write.
  bool hasRoom(size_t bytes) const;

  /// Publishes a message. False when there is no room. Throws std::length_error for one larger than `limit()`.
  bool write(uint32_t tag, const Piece* pieces, size_t count);

  /// How many messages all readers have taken; those that have gone do not count.
  uint64_t taken() const;
  uint64_t written() const { return messages_; }

  /// Whether some reader is there or may still come.
  bool hasReaders() const;

  /// Waits for room on a futex, at most for `timeout`.
  bool waitForRoom(size_t bytes, std::chrono::nanoseconds timeout);
  /// Has the event loop woken when a reader moves on; false when there is room already.
  bool armForRoom(size_t bytes);

  /// Takes readers whose process has ended as gone.
  void checkReaders();

  /// Says that nothing more will come.
  void close();

 private:
  struct ReaderState {
    RemoteWaker waker;
    std::unique_ptr<ProcessWatch> process;
  };

  std::unique_ptr<Mapping> mapping_;
  std::shared_ptr<Waker> waker_;
  std::vector<ReaderState> readers_;
  uint64_t position_ = 0;
  uint64_t messages_ = 0;
};

class Reader {
 public:
  /// Becomes a reader of another process's channel, or of one of this process. Throws std::runtime_error when the writer's
  /// process has ended, or another process is this reader already.
  Reader(const SharedMemoryHandle& handle, uint32_t index, std::shared_ptr<Waker> waker);
  ~Reader();
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;

  /// The next message, if one has come.
  bool peek(Message* message) const;
  bool isReady() const;
  /// Lets go of the message that peek() gave. It counts as taken once acknowledge() says so.
  void advance();
  void acknowledge(uint64_t messages = 1);

  /// Whether the writer has said that nothing more will come.
  bool isClosed() const;
  /// Whether the writer's process lives; one that has ended may have left messages.
  bool isWriterAlive() const { return writer_.alive(); }
  pid_t writerPid() const { return writer_.pid(); }

  /// Waits for a message or the end of the channel: briefly awake and then on a futex, or by having the event loop woken
  /// (false when there is something already). A wait ends early when the writer's process has ended.
  bool wait(std::chrono::nanoseconds timeout);
  bool arm();
  void disarm();
  Parker& parker() const;

  /// Takes no more messages; the writer no longer waits for this reader.
  void close();

  /// Whether there is a message, or the channel was closed.
  bool hasNews() const { return isReady() || isClosed(); }

  const Mapping& mapping() const { return *mapping_; }

 private:
  std::unique_ptr<Mapping> mapping_;
  uint32_t index_;
  std::shared_ptr<Waker> waker_;
  RemoteWaker writerWaker_;
  ProcessWatch writer_;
  uint64_t position_ = 0;
  bool isOpen_ = true;
};

}  // namespace channel
}  // namespace troupe
