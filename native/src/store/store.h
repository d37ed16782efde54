#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <vector>

#include "memory/shared_memory.h"
#include "store/spill_file.h"

namespace troupe::store {

/// Names an object of a store in every process; a number that is used anew has another generation.
struct ObjectId {
  uint32_t index = 0;
  uint32_t generation = 0;
};

/// The handle by which another process of the host opens a store.
struct StoreHandle {
  SharedMemoryHandle memory;
  /// The owner's open spill file; -1 for a store that does not spill.
  int spillFd = -1;
};

/// There is no room, also after reclaiming and spilling all that could be.
class StoreFullError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Nobody holds the object any more.
class ObjectGoneError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// A process's share of a store, for those who look for what holds its memory.
struct Usage {
  pid_t pid;
  uint64_t objects;
  uint64_t bytes;
};

/// Memory that the processes of a host share values in: one segment, of which objects are parts. An object lives while some
/// process holds it. Holding is a bit for each process, so that what a killed process held is found and freed; a process
/// keeps its own count of how often it holds an object. Objects that no process has mapped are written to a file when
/// memory runs short, and read back when they are mapped.
///
/// All changes of the tables are made under a lock that outlives its holder: who gets it after a death rebuilds the free
/// lists from the objects. Where an object is, is one word; so at every moment it is in one place.
class Store {
 public:
  struct Options {
    uint64_t memoryBytes = uint64_t{1} << 30;
    /// Bytes that may be spilled; 0 for none.
    uint64_t diskBytes = 0;
    /// Where the spill file is made.
    std::string spillFolder = "/tmp";
    uint32_t objects = 1 << 16;
  };

  /// Throws std::system_error when the memory or the spill file cannot be made.
  static std::shared_ptr<Store> create(const Options& options);
  /// Throws std::runtime_error when the process that made it has ended.
  static std::shared_ptr<Store> open(const StoreHandle& handle);

  ~Store();
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  StoreHandle handle() const;

  /// The store that this process allocates from; null if it has none.
  static std::shared_ptr<Store> current();
  static void setCurrent(std::shared_ptr<Store> store);
  /// This process's view of a store, opened if it has none.
  static std::shared_ptr<Store> reach(const StoreHandle& handle);

  /// Makes an object, held and mapped by this process once each. Its memory is zeroed if asked for. Throws StoreFullError.
  ObjectId create(uint64_t bytes, bool zeroed, uint8_t** data);

  /// Holds an object that another process holds meanwhile. Throws ObjectGoneError.
  void hold(ObjectId id);
  /// Lets go of an object once; nothing where it is gone.
  void release(ObjectId id);

  /// Maps an object that this process holds, so that it stays where it is. Reads it back first if it was spilled. Throws
  /// ObjectGoneError, or StoreFullError when there is no room to read it back into.
  uint8_t* map(ObjectId id);
  /// Undoes one `map`; nothing where the object is gone.
  void unmap(ObjectId id);

  /// Copies a spilled object that this process holds out of the spill file, for when there is no room to map it. False when
  /// it is not spilled (any more).
  bool copySpilled(ObjectId id, uint8_t* to, uint64_t bytes);

  uint64_t bytesOf(ObjectId id) const;
  bool isSpilled(ObjectId id) const;

  /// Frees what only processes that have ended held. Returns how many objects that were.
  size_t reap();

  /// Sleeps until something is freed, or `timeout` has passed.
  void awaitFree(std::chrono::nanoseconds timeout);

  uint64_t freeBytes() const;
  uint64_t spilledBytes() const;
  /// The holders and how much each holds, the most first.
  std::vector<Usage> usage() const;

 private:
  struct Layout;
  struct Object;
  class Lock;

  Store(std::shared_ptr<SharedMemory> memory, SpillFile spillFile);
  void join();
  /// An object, or null where nobody holds it any more.
  Object* find(ObjectId id) const;
  /// The same; throws ObjectGoneError.
  Object& at(ObjectId id) const;
  bool isAlive(uint32_t slot) const;
  bool makeRoom(Lock& lock, uint64_t bytes, uint64_t* offset);
  bool commit(uint64_t offset, uint64_t bytes, bool* isZero);
  void populate(const uint8_t* data, uint64_t bytes);
  void trim(uint64_t offset, uint64_t bytes);
  bool spillSome(Lock& lock);
  void readBack(Lock& lock, Object& object, uint64_t where);
  template <class Copy>
  bool move(Lock& lock, Object& object, uint64_t target, Copy&& copy);
  void settle(Object& object);
  size_t sweep();
  void rebuild();
  void drop(Object& object);
  std::string describeFull(uint64_t bytes) const;

  std::shared_ptr<SharedMemory> memory_;
  Layout* layout_;
  SpillFile spillFile_;
  uint32_t slot_ = 0;
  /// This process's hold of an object.
  struct Own {
    uint32_t holds = 0, maps = 0;
    uint8_t* data = nullptr;
  };
  /// Changes what is known of an object that this process holds already; false for others.
  template <class Change>
  bool countOwn(ObjectId id, Change&& change) {
    std::lock_guard<std::mutex> own(mutex_);
    const auto found = own_.find(uint64_t{id.index} << 32 | id.generation);
    if (found == own_.end()) return false;
    change(found->second);
    return true;
  }
  std::mutex mutex_;
  std::map<uint64_t, Own> own_;
};

}  // namespace troupe::store
