#pragma once

// The layout of a store's segment, as every process that maps it sees it, and the lock on it. Only the store's own files know.

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <pthread.h>
#include <sys/types.h>

#include "store/extents.h"
#include "store/store.h"
#include "sync/eventcount.h"

namespace troupe::store {

constexpr uint32_t kProcesses = 1024;
/// Marks a place in the spill file.
constexpr uint64_t kOnDisk = uint64_t{1} << 63;
constexpr uint64_t kPage = 4096;
/// Pages are taken from the host, and given back to it, by this many bytes.
constexpr uint64_t kChunk = 2 << 20;

inline uint64_t wholePages(uint64_t bytes) { return (bytes + kPage - 1) / kPage * kPage; }

/// A bit for each process.
using ProcessSet = std::array<std::atomic<uint64_t>, kProcesses / 64>;

inline void insert(ProcessSet& set, uint32_t slot) { set[slot / 64].fetch_or(uint64_t{1} << (slot % 64), std::memory_order_acq_rel); }
inline void erase(ProcessSet& set, uint32_t slot) { set[slot / 64].fetch_and(~(uint64_t{1} << (slot % 64)), std::memory_order_acq_rel); }
inline bool contains(const ProcessSet& set, uint32_t slot) {
  return (set[slot / 64].load(std::memory_order_acquire) >> (slot % 64) & 1) != 0;
}
inline bool isEmpty(const ProcessSet& set) {
  return std::all_of(set.begin(), set.end(), [](const auto& word) { return word.load(std::memory_order_acquire) == 0; });
}

struct Store::Object {
  enum State : uint32_t { kEmpty, kLive, kMoving };

  std::atomic<uint32_t> state;
  std::atomic<uint32_t> generation;
  /// Where it is: an offset into the memory, or into the spill file.
  std::atomic<uint64_t> place;
  uint64_t bytes;
  /// While it moves: where to, and which process moves it.
  uint64_t target;
  uint32_t mover;
  /// The next one that is empty.
  uint32_t next;
  /// When it was made or last mapped: the one longest unused is spilled first.
  uint64_t used;
  ProcessSet holders;
  ProcessSet mappers;
};

struct Store::Layout {
  static constexpr uint64_t kMark = 0x65726f747370726f;  // tells a store from other shared memory
  uint64_t mark = kMark;
  uint64_t memoryBytes, diskBytes;
  uint32_t objectCount;
  pthread_mutex_t lock;
  Eventcount freed;
  /// A list of objects that are empty, as indices plus one, and how many objects have ever been used.
  uint32_t firstEmpty, objectsUsed;
  uint64_t clock;
  struct Process {
    std::atomic<pid_t> pid;
    uint64_t start;
  } processes[kProcesses];

  static uint64_t objectsAt() { return wholePages(sizeof(Layout)); }
  static uint64_t memoryListAt(uint32_t objects) { return wholePages(objectsAt() + uint64_t{objects} * sizeof(Object)); }
  static uint64_t diskListAt(uint32_t objects) { return wholePages(memoryListAt(objects) + FreeExtents::footprint(objects + 1)); }
  static uint64_t chunksAt(uint32_t objects) { return wholePages(diskListAt(objects) + FreeExtents::footprint(objects + 1)); }
  static uint64_t dataAt(uint32_t objects, uint64_t memoryBytes) { return wholePages(chunksAt(objects) + memoryBytes / kChunk + 1); }

  template <class T>
  T* part(uint64_t offset) {
    return reinterpret_cast<T*>(reinterpret_cast<uint8_t*>(this) + offset);
  }
  Object* objects() { return part<Object>(objectsAt()); }
  FreeExtents& memory() { return *part<FreeExtents>(memoryListAt(objectCount)); }
  FreeExtents& disk() { return *part<FreeExtents>(diskListAt(objectCount)); }
  /// For each chunk of the memory how often its pages have been taken and given back: an odd number while they are taken.
  std::atomic<uint8_t>* chunks() { return part<std::atomic<uint8_t>>(chunksAt(objectCount)); }
  uint64_t dataOffset() const { return dataAt(objectCount, memoryBytes); }
  uint8_t* data() { return part<uint8_t>(dataOffset()); }
};

/// Holds the store's lock, having made whole what a process that died with it left.
class Store::Lock {
 public:
  explicit Lock(const Store& store) : store_(const_cast<Store&>(store)) { acquire(); }
  ~Lock() { release(); }
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;

  void acquire();
  void release() { pthread_mutex_unlock(&store_.layout_->lock); }

 private:
  Store& store_;
};

}  // namespace troupe::store
