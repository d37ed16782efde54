#include "store/store.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <fstream>
#include <pthread.h>
#include <sstream>
#include <sys/mman.h>
#include <sys/stat.h>
#include <system_error>
#include <thread>
#include <unistd.h>

#include "channel/doorbell.h"
#include "memory/process.h"
#include "memory/quietly.h"
#include "memory/steps.h"
#include "store/extents.h"

namespace troupe::store {
namespace {

constexpr uint32_t kProcesses = 1024;
constexpr uint64_t kOnDisk = uint64_t{1} << 63;
constexpr uint64_t kSmallAlignment = 64, kPage = 4096;
constexpr std::chrono::milliseconds kMovePoll{1};
/// Pages are taken from the host, and given back to it, by this many bytes.
constexpr uint64_t kChunk = 2 << 20;
/// Bytes of free memory whose pages are kept for what comes next: taking pages costs more than a copy.
constexpr uint64_t kKept = uint64_t{512} << 20;

using ProcessSet = std::array<std::atomic<uint64_t>, kProcesses / 64>;

uint64_t keyOf(ObjectId id) { return uint64_t{id.index} << 32 | id.generation; }

void insert(ProcessSet& set, uint32_t slot) { set[slot / 64].fetch_or(uint64_t{1} << (slot % 64), std::memory_order_acq_rel); }
void erase(ProcessSet& set, uint32_t slot) { set[slot / 64].fetch_and(~(uint64_t{1} << (slot % 64)), std::memory_order_acq_rel); }
bool contains(const ProcessSet& set, uint32_t slot) { return (set[slot / 64].load(std::memory_order_acquire) >> (slot % 64) & 1) != 0; }
bool isEmpty(const ProcessSet& set) {
  return std::all_of(set.begin(), set.end(), [](const auto& word) { return word.load(std::memory_order_acquire) == 0; });
}

uint64_t rounded(uint64_t bytes) {
  const uint64_t unit = bytes < 16 * kPage ? kSmallAlignment : kPage;
  return (std::max<uint64_t>(bytes, 1) + unit - 1) / unit * unit;
}

uint64_t aligned(uint64_t bytes) { return (bytes + kPage - 1) / kPage * kPage; }

/// When a process started, in ticks since the host did; 0 when that cannot be read. It tells a process from a later one of its id.
uint64_t startOf(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string line;
  if (!std::getline(file, line)) return 0;
  std::istringstream rest(line.substr(line.rfind(')') + 1));
  std::string field;
  for (int i = 0; i < 20; i++) rest >> field;
  return std::strtoull(field.c_str(), nullptr, 10);
}

std::system_error failed(const std::string& what) { return std::system_error(errno, std::generic_category(), what); }

int makeSpillFile(const std::string& folder) {
  const int fd = ::open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (fd < 0) throw failed("cannot make a spill file in " + folder);
  return fd;
}

bool transfer(int fd, uint8_t* memory, uint64_t bytes, uint64_t at, bool isWrite) {
  while (bytes > 0) {
    const ssize_t done = isWrite ? pwrite(fd, memory, bytes, static_cast<off_t>(at)) : pread(fd, memory, bytes, static_cast<off_t>(at));
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0) return false;
    memory += done;
    at += static_cast<uint64_t>(done);
    bytes -= static_cast<uint64_t>(done);
  }
  return true;
}

}  // namespace

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
  Doorbell freed;
  /// A list of objects that are empty, as indices plus one, and how many objects have ever been used.
  uint32_t firstEmpty, objectsUsed;
  uint64_t clock;
  struct Process {
    std::atomic<pid_t> pid;
    uint64_t start;
  } processes[kProcesses];

  static uint64_t objectsAt() { return aligned(sizeof(Layout)); }
  static uint64_t memoryListAt(uint32_t objects) { return aligned(objectsAt() + uint64_t{objects} * sizeof(Object)); }
  static uint64_t diskListAt(uint32_t objects) { return aligned(memoryListAt(objects) + FreeExtents::footprint(objects + 1)); }
  static uint64_t chunksAt(uint32_t objects) { return aligned(diskListAt(objects) + FreeExtents::footprint(objects + 1)); }
  static uint64_t dataAt(uint32_t objects, uint64_t memoryBytes) { return aligned(chunksAt(objects) + memoryBytes / kChunk + 1); }

  template <class T>
  T* part(uint64_t offset) {
    return reinterpret_cast<T*>(reinterpret_cast<uint8_t*>(this) + offset);
  }
  Object* objects() { return part<Object>(objectsAt()); }
  FreeExtents& memory() { return *part<FreeExtents>(memoryListAt(objectCount)); }
  FreeExtents& disk() { return *part<FreeExtents>(diskListAt(objectCount)); }
  /// For each chunk of the memory, whether its pages have been taken.
  std::atomic<uint8_t>* chunks() { return part<std::atomic<uint8_t>>(chunksAt(objectCount)); }
  uint64_t dataOffset() const { return dataAt(objectCount, memoryBytes); }
  uint8_t* data() { return part<uint8_t>(dataOffset()); }
};

/// Holds the store's lock, having made whole what a process that died with it left.
class Store::Lock {
 public:
  explicit Lock(const Store& store) : store_(const_cast<Store&>(store)) { acquire(); }
  ~Lock() { release(); }

  void acquire() {
    const int result = pthread_mutex_lock(&store_.layout_->lock);
    if (result == EOWNERDEAD) {
      pthread_mutex_consistent(&store_.layout_->lock);
      store_.sweep();
      store_.rebuild();
    } else if (result != 0) {
      throw std::system_error(result, std::generic_category(), "cannot lock the object store");
    }
  }
  void release() { pthread_mutex_unlock(&store_.layout_->lock); }

 private:
  Store& store_;
};

std::shared_ptr<Store> Store::create(const Options& options) {
  const int spillFd = options.diskBytes > 0 ? makeSpillFile(options.spillFolder) : -1;
  const uint64_t memoryBytes = (options.memoryBytes + kChunk - 1) / kChunk * kChunk;
  auto memory = SharedMemory::create(Layout::dataAt(options.objects, memoryBytes) + memoryBytes, false);
  auto* layout = new (memory->data()) Layout{};
  layout->memoryBytes = memoryBytes;
  layout->diskBytes = options.diskBytes / kPage * kPage;
  layout->objectCount = options.objects;
  layout->memory().reset(options.objects + 1, layout->memoryBytes);
  layout->disk().reset(options.objects + 1, layout->diskBytes);
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
  pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
  pthread_mutex_init(&layout->lock, &attributes);
  pthread_mutexattr_destroy(&attributes);
  return std::shared_ptr<Store>(new Store(std::move(memory), spillFd));
}

std::shared_ptr<Store> Store::open(const StoreHandle& handle) {
  auto memory = SharedMemory::open(handle.memory);
  const auto* layout = reinterpret_cast<const Layout*>(memory->data());
  if (memory->bytes() < sizeof(Layout) || layout->mark != Layout::kMark || memory->bytes() != layout->dataOffset() + layout->memoryBytes) {
    throw std::runtime_error("this shared memory is no object store");
  }
  int spillFd = -1;
  if (handle.spillFd >= 0) {
    const std::string path = "/proc/" + std::to_string(handle.memory.pid) + "/fd/" + std::to_string(handle.spillFd);
    spillFd = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
    if (spillFd < 0) throw failed("cannot open the spill file of the object store");
  }
  return std::shared_ptr<Store>(new Store(std::move(memory), spillFd));
}

Store::Store(std::shared_ptr<SharedMemory> memory, int spillFd)
    : memory_(std::move(memory)), layout_(reinterpret_cast<Layout*>(memory_->data())), spillFd_(spillFd) {
  join();
}

Store::~Store() {
  quietly([&] {
    Lock lock(*this);
    layout_->processes[slot_].pid.store(0, std::memory_order_release);
    sweep();
  });
  layout_->freed.ring();
  if (spillFd_ >= 0) close(spillFd_);
}

namespace {

struct Known {
  std::mutex mutex;
  std::shared_ptr<Store> current;
  std::map<std::string, std::weak_ptr<Store>> stores;
};

Known& known() {
  static auto* const all = new Known;  // outlives whatever the process still holds when it ends
  return *all;
}

}  // namespace

std::shared_ptr<Store> Store::current() {
  std::lock_guard<std::mutex> lock(known().mutex);
  return known().current;
}

void Store::setCurrent(std::shared_ptr<Store> store) {
  std::lock_guard<std::mutex> lock(known().mutex);
  if (store) known().stores[store->handle().memory.name] = store;
  known().current = std::move(store);
}

std::shared_ptr<Store> Store::reach(const StoreHandle& handle) {
  std::lock_guard<std::mutex> lock(known().mutex);
  auto& entry = known().stores[handle.memory.name];
  if (auto store = entry.lock()) return store;
  auto store = open(handle);
  entry = store;
  return store;
}

Hold::Hold(std::shared_ptr<Store> store, ObjectId id, bool isMapped) : store_(std::move(store)), id_(id) {
  store_->hold(id_);
  if (!isMapped) return;
  try {
    data_ = store_->map(id_);
  } catch (...) {
    store_->release(id_);
    throw;
  }
}

Hold::~Hold() {
  quietly([&] {
    if (data_ != nullptr) store_->unmap(id_);
  });
  quietly([&] { store_->release(id_); });
}

StoreHandle Store::handle() const { return {memory_->handle(), spillFd_}; }

void Store::join() {
  Lock lock(*this);
  for (int attempt = 0; attempt < 2; attempt++) {
    for (uint32_t slot = 0; slot < kProcesses; slot++) {
      auto& process = layout_->processes[slot];
      if (process.pid.load(std::memory_order_acquire) != 0) continue;
      process.start = startOf(getpid());
      PROTOCOL_STEP();
      process.pid.store(getpid(), std::memory_order_release);
      slot_ = slot;
      return;
    }
    sweep();
  }
  throw std::runtime_error("the object store of this node is used by " + std::to_string(kProcesses) +
                           " processes already, which is the most; spawn fewer actors a node, or with isolation 'thread' or 'local'");
}

bool Store::isAlive(uint32_t slot) const {
  const auto& process = layout_->processes[slot];
  const pid_t pid = process.pid.load(std::memory_order_acquire);
  if (pid == 0) return false;
  if (pid == getpid()) return true;
  if (!ProcessWatch(pid).alive()) return false;
  const uint64_t start = startOf(pid);
  return start == process.start || start == 0 || process.start == 0;
}

Store::Object* Store::find(ObjectId id) const {
  auto* object = id.index < layout_->objectCount ? layout_->objects() + id.index : nullptr;
  const bool isThere = object != nullptr && object->generation.load(std::memory_order_acquire) == id.generation &&
                       object->state.load(std::memory_order_acquire) != Object::kEmpty;
  return isThere ? object : nullptr;
}

Store::Object& Store::at(ObjectId id) const {
  if (auto* object = find(id)) return *object;
  throw ObjectGoneError("an object of the store is gone: no process held it any more");
}

ObjectId Store::create(uint64_t bytes, bool zeroed, uint8_t** data) {
  const uint64_t size = rounded(bytes);
  ObjectId id;
  bool isZero = false;
  {
    Lock lock(*this);
    uint64_t offset = 0;
    const auto hasObject = [&] { return layout_->firstEmpty != 0 || layout_->objectsUsed < layout_->objectCount; };
    bool isPlaced = hasObject() && layout_->memory().take(size, &offset);
    if (!isPlaced && sweep() > 0) isPlaced = hasObject() && layout_->memory().take(size, &offset);
    if (!isPlaced && hasObject()) isPlaced = makeRoom(lock, size, &offset);
    if (!isPlaced) throw StoreFullError(describeFull(bytes));
    PROTOCOL_STEP();
    if (!commit(offset, size, &isZero)) {
      layout_->memory().give({offset, size});
      throw StoreFullError("the host has no memory left for an object of " + std::to_string(bytes) + " bytes");
    }
    PROTOCOL_STEP();
    if (layout_->firstEmpty != 0) {
      id.index = layout_->firstEmpty - 1;
      layout_->firstEmpty = layout_->objects()[id.index].next;
    } else {
      id.index = layout_->objectsUsed++;
    }
    PROTOCOL_STEP();
    auto& object = layout_->objects()[id.index];
    object.bytes = size;
    object.used = ++layout_->clock;
    object.place.store(offset, std::memory_order_release);
    id.generation = object.generation.fetch_add(1, std::memory_order_acq_rel) + 1;
    insert(object.holders, slot_);
    insert(object.mappers, slot_);
    PROTOCOL_STEP();
    object.state.store(Object::kLive, std::memory_order_release);
    PROTOCOL_STEP();
    *data = layout_->data() + offset;
    std::lock_guard<std::mutex> own(mutex_);
    own_[keyOf(id)] = {1, 1, *data};
  }
  if (zeroed && !isZero) std::memset(*data, 0, size);
  return id;
}

void Store::hold(ObjectId id) {
  if (countOwn(id, [](Own& own) { own.holds++; })) return;
  Lock lock(*this);
  auto& object = at(id);
  insert(object.holders, slot_);
  PROTOCOL_STEP();
  std::lock_guard<std::mutex> own(mutex_);
  own_[keyOf(id)].holds++;
}

void Store::release(ObjectId id) {
  {
    Lock lock(*this);
    {
      std::lock_guard<std::mutex> own(mutex_);
      const auto found = own_.find(keyOf(id));
      if (found == own_.end() || --found->second.holds > 0) return;
      own_.erase(found);
    }
    auto* object = find(id);
    if (object == nullptr) return;
    erase(object->mappers, slot_);
    PROTOCOL_STEP();
    erase(object->holders, slot_);
    PROTOCOL_STEP();
    if (!isEmpty(object->holders)) return;
    drop(*object);
  }
  layout_->freed.ring();
}

uint8_t* Store::map(ObjectId id) {
  uint8_t* known = nullptr;
  const auto again = [&](Own& own) {
    if (own.maps == 0) return;
    own.maps++;
    known = own.data;
  };
  if (countOwn(id, again) && known != nullptr) return known;
  Lock lock(*this);
  for (;;) {
    auto& object = at(id);
    if (object.state.load(std::memory_order_acquire) == Object::kMoving) {
      if (isAlive(object.mover)) {
        lock.release();
        std::this_thread::sleep_for(kMovePoll);
        lock.acquire();
      } else {
        settle(object);
      }
      continue;
    }
    const uint64_t where = object.place.load(std::memory_order_acquire);
    if ((where & kOnDisk) == 0) {
      insert(object.mappers, slot_);
      object.used = ++layout_->clock;
      std::lock_guard<std::mutex> own(mutex_);
      auto& counts = own_[keyOf(id)];
      counts.maps++;
      counts.data = layout_->data() + where;
      return counts.data;
    }
    readBack(lock, object, where);
  }
}

void Store::unmap(ObjectId id) {
  Lock lock(*this);
  {
    std::lock_guard<std::mutex> own(mutex_);
    const auto found = own_.find(keyOf(id));
    if (found == own_.end() || found->second.maps == 0 || --found->second.maps > 0) return;
  }
  if (auto* object = find(id)) erase(object->mappers, slot_);
}

bool Store::copySpilled(ObjectId id, uint8_t* to, uint64_t bytes) {
  auto& object = at(id);
  const uint64_t where = object.place.load(std::memory_order_acquire);
  if ((where & kOnDisk) == 0 || bytes > object.bytes || !transfer(spillFd_, to, bytes, where & ~kOnDisk, false)) return false;
  // Its part of the file is another's as soon as it has moved.
  Lock lock(*this);
  return object.place.load(std::memory_order_acquire) == where;
}

/// Moves a spilled object into memory, unless another process does so first.
void Store::readBack(Lock& lock, Object& object, uint64_t where) {
  uint64_t offset = 0;
  if (!layout_->memory().take(object.bytes, &offset) && !makeRoom(lock, object.bytes, &offset)) throw StoreFullError(describeFull(object.bytes));
  const bool isStillThere = object.state.load(std::memory_order_acquire) == Object::kLive && object.place.load(std::memory_order_acquire) == where;
  bool isZero;
  if (!isStillThere || !commit(offset, object.bytes, &isZero)) {
    layout_->memory().give({offset, object.bytes});
    if (isStillThere) throw StoreFullError("the host has no memory left to read an object back into");
    return;
  }
  const bool isRead = move(lock, object, offset, [&] { return transfer(spillFd_, layout_->data() + offset, object.bytes, where & ~kOnDisk, false); });
  if (!isRead) throw failed("cannot read an object back from the spill file");
}

/// Moves an object to where `copy` copies it, with the lock let go of meanwhile.
template <class Copy>
bool Store::move(Lock& lock, Object& object, uint64_t target, Copy&& copy) {
  object.target = target;
  object.mover = slot_;
  PROTOCOL_STEP();
  object.state.store(Object::kMoving, std::memory_order_release);
  PROTOCOL_STEP();
  lock.release();
  PROTOCOL_STEP();
  const bool isCopied = copy();
  PROTOCOL_STEP();
  lock.acquire();
  if (isCopied) object.place.store(target, std::memory_order_release);
  PROTOCOL_STEP();
  settle(object);
  return isCopied;
}

/// Spills objects until there is room. False when nothing more can be spilled.
bool Store::makeRoom(Lock& lock, uint64_t bytes, uint64_t* offset) {
  if (bytes > layout_->memoryBytes) return false;
  while (spillSome(lock)) {
    if (layout_->memory().take(bytes, offset)) return true;
  }
  return sweep() > 0 && layout_->memory().take(bytes, offset);
}

/// Takes the pages of a part of the memory, so that a full host fails here and not with a signal at some later write.
bool Store::commit(uint64_t offset, uint64_t bytes, bool* isZero) {
  *isZero = true;
  for (uint64_t chunk = offset / kChunk; chunk * kChunk < offset + bytes; chunk++) {
    if (layout_->chunks()[chunk].load(std::memory_order_relaxed) != 0) {
      *isZero = false;
      continue;
    }
    if (posix_fallocate(memory_->fd(), static_cast<off_t>(layout_->dataOffset() + chunk * kChunk), kChunk) != 0) return false;
    PROTOCOL_STEP();
    layout_->chunks()[chunk].store(1, std::memory_order_relaxed);
  }
  return true;
}

/// Gives the pages of a free part back to the host, but for what is kept.
void Store::trim(uint64_t offset, uint64_t bytes) {
  uint64_t committed = 0;
  for (uint64_t chunk = 0; chunk * kChunk < layout_->memoryBytes; chunk++) committed += layout_->chunks()[chunk].load(std::memory_order_relaxed) * kChunk;
  const uint64_t used = layout_->memoryBytes - layout_->memory().free();
  for (uint64_t chunk = (offset + kChunk - 1) / kChunk; (chunk + 1) * kChunk <= offset + bytes && committed > used + kKept; chunk++) {
    if (layout_->chunks()[chunk].exchange(0, std::memory_order_relaxed) == 0) continue;
    PROTOCOL_STEP();
    fallocate(memory_->fd(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(layout_->dataOffset() + chunk * kChunk), kChunk);
    committed -= kChunk;
  }
}

uint64_t Store::bytesOf(ObjectId id) const { return at(id).bytes; }

bool Store::isSpilled(ObjectId id) const { return (at(id).place.load(std::memory_order_acquire) & kOnDisk) != 0; }

size_t Store::reap() {
  size_t freed;
  {
    Lock lock(*this);
    freed = sweep();
  }
  if (freed > 0) layout_->freed.ring();
  return freed;
}

void Store::awaitFree(std::chrono::nanoseconds timeout) {
  const uint32_t seen = layout_->freed.read();
  layout_->freed.wait(seen, timeout);
}

uint64_t Store::freeBytes() const {
  Lock lock(*this);
  return layout_->memory().free();
}

uint64_t Store::spilledBytes() const {
  Lock lock(*this);
  return layout_->diskBytes - layout_->disk().free();
}

std::vector<Usage> Store::usage() const {
  Lock lock(*this);
  std::vector<Usage> all;
  for (uint32_t slot = 0; slot < kProcesses; slot++) {
    const pid_t pid = layout_->processes[slot].pid.load(std::memory_order_acquire);
    if (pid == 0) continue;
    Usage usage{pid, 0, 0};
    for (uint32_t i = 0; i < layout_->objectsUsed; i++) {
      const auto& object = layout_->objects()[i];
      if (object.state.load(std::memory_order_acquire) == Object::kEmpty || !contains(object.holders, slot)) continue;
      usage.objects++;
      usage.bytes += object.bytes;
    }
    all.push_back(usage);
  }
  std::sort(all.begin(), all.end(), [](const Usage& a, const Usage& b) { return a.bytes > b.bytes; });
  return all;
}

/// Writes the object that was used longest ago, of those that nobody has mapped, to the spill file. False when there is
/// none, or no room for it.
bool Store::spillSome(Lock& lock) {
  if (spillFd_ < 0) return false;
  Object* victim = nullptr;
  for (uint32_t i = 0; i < layout_->objectsUsed; i++) {
    auto& object = layout_->objects()[i];
    const bool canGo = object.state.load(std::memory_order_acquire) == Object::kLive &&
                       (object.place.load(std::memory_order_acquire) & kOnDisk) == 0 && isEmpty(object.mappers) && !isEmpty(object.holders);
    if (canGo && (victim == nullptr || object.used < victim->used)) victim = &object;
  }
  uint64_t offset;
  if (victim == nullptr || !layout_->disk().take(victim->bytes, &offset)) return false;
  const uint64_t from = victim->place.load(std::memory_order_acquire);
  return move(lock, *victim, offset | kOnDisk, [&] { return transfer(spillFd_, layout_->data() + from, victim->bytes, offset, true); });
}

/// Ends a move, wherever it has come to: the place that the object is not in is free again.
void Store::settle(Object& object) {
  object.state.store(isEmpty(object.holders) ? Object::kEmpty : Object::kLive, std::memory_order_release);
  PROTOCOL_STEP();
  rebuild();
}

/// Forgets processes that have ended, and frees what nobody else holds. Returns how many objects that were.
size_t Store::sweep() {
  std::array<uint64_t, kProcesses / 64> living{};
  for (uint32_t slot = 0; slot < kProcesses; slot++) {
    if (isAlive(slot)) living[slot / 64] |= uint64_t{1} << (slot % 64);
  }
  size_t freed = 0;
  for (uint32_t i = 0; i < layout_->objectsUsed; i++) {
    auto& object = layout_->objects()[i];
    if (object.state.load(std::memory_order_acquire) == Object::kEmpty) continue;
    for (size_t word = 0; word < living.size(); word++) {
      for (auto* set : {&object.mappers, &object.holders}) {
        auto& bits = (*set)[word];
        if ((bits.load(std::memory_order_acquire) & ~living[word]) != 0) bits.fetch_and(living[word], std::memory_order_acq_rel);
      }
    }
    PROTOCOL_STEP();
    if (!isEmpty(object.holders)) continue;
    if (object.state.load(std::memory_order_acquire) == Object::kMoving && isAlive(object.mover)) continue;
    object.state.store(Object::kEmpty, std::memory_order_release);
    freed++;
    PROTOCOL_STEP();
  }
  for (uint32_t slot = 0; slot < kProcesses; slot++) {
    if ((living[slot / 64] >> (slot % 64) & 1) == 0) layout_->processes[slot].pid.store(0, std::memory_order_release);
  }
  if (freed > 0) rebuild();
  return freed;
}

/// Makes the free lists anew from the objects.
void Store::rebuild() {
  std::vector<Extent> memory, disk;
  const auto add = [&](uint64_t place, uint64_t bytes) {
    if ((place & kOnDisk) != 0) {
      disk.push_back({place & ~kOnDisk, bytes});
    } else {
      memory.push_back({place, bytes});
    }
  };
  layout_->firstEmpty = 0;
  for (uint32_t i = 0; i < layout_->objectsUsed; i++) {
    auto& object = layout_->objects()[i];
    const auto state = object.state.load(std::memory_order_acquire);
    if (state == Object::kEmpty) {
      for (auto& word : object.mappers) word.store(0, std::memory_order_relaxed);
      for (auto& word : object.holders) word.store(0, std::memory_order_relaxed);
      object.next = layout_->firstEmpty;
      layout_->firstEmpty = i + 1;
      continue;
    }
    if (state == Object::kMoving) {
      if (isAlive(object.mover)) {
        add(object.target, object.bytes);
      } else {
        object.state.store(Object::kLive, std::memory_order_release);
      }
    }
    add(object.place.load(std::memory_order_acquire), object.bytes);
  }
  layout_->memory().rebuild(std::move(memory));
  PROTOCOL_STEP();
  layout_->disk().rebuild(std::move(disk));
}

/// Frees an object that nobody holds.
void Store::drop(Object& object) {
  if (object.state.load(std::memory_order_acquire) == Object::kMoving) return;  // who moves it will see
  const uint64_t where = object.place.load(std::memory_order_acquire);
  object.state.store(Object::kEmpty, std::memory_order_release);
  PROTOCOL_STEP();
  object.next = layout_->firstEmpty;
  layout_->firstEmpty = static_cast<uint32_t>(&object - layout_->objects()) + 1;
  PROTOCOL_STEP();
  if ((where & kOnDisk) != 0) {
    layout_->disk().give({where & ~kOnDisk, object.bytes});
  } else {
    layout_->memory().give({where, object.bytes});
    PROTOCOL_STEP();
    if (object.bytes >= kChunk) trim(where, object.bytes);
  }
  PROTOCOL_STEP();
}

std::string Store::describeFull(uint64_t bytes) const {
  const auto mebibytes = [](uint64_t count) { return std::to_string((count + (1 << 19)) >> 20) + " MiB"; };
  uint64_t mapped = 0, unmapped = 0, spilled = 0;
  for (uint32_t i = 0; i < layout_->objectsUsed; i++) {
    const auto& object = layout_->objects()[i];
    if (object.state.load(std::memory_order_acquire) == Object::kEmpty) continue;
    const bool isOnDisk = (object.place.load(std::memory_order_acquire) & kOnDisk) != 0;
    (isOnDisk ? spilled : isEmpty(object.mappers) ? unmapped : mapped) += object.bytes;
  }
  return "the object store has no room for " + mebibytes(bytes) + ": of " + mebibytes(layout_->memoryBytes) + ", " + mebibytes(mapped) +
         " are in use by processes and " + mebibytes(unmapped) + " are held by refs; " + mebibytes(spilled) + " of " +
         mebibytes(layout_->diskBytes) + " are spilled to disk";
}

}  // namespace troupe::store
