#include "store/store.h"

#include <cstring>
#include <map>
#include <mutex>
#include <thread>
#include <unistd.h>

#include "memory/crash_point.h"
#include "memory/quietly.h"
#include "store/layout.h"

namespace troupe::store {
namespace {

constexpr uint64_t kSmallAlignment = 64;
constexpr std::chrono::milliseconds kMovePoll{1};

uint64_t keyOf(ObjectId id) { return uint64_t{id.index} << 32 | id.generation; }

uint64_t rounded(uint64_t bytes) {
  const uint64_t unit = bytes < 16 * kPage ? kSmallAlignment : kPage;
  return (std::max<uint64_t>(bytes, 1) + unit - 1) / unit * unit;
}

}  // namespace

std::shared_ptr<Store> Store::create(const Options& options) {
  SpillFile spillFile = options.diskBytes > 0 ? SpillFile::make(options.spillFolder) : SpillFile();
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
  return std::shared_ptr<Store>(new Store(std::move(memory), std::move(spillFile)));
}

std::shared_ptr<Store> Store::open(const StoreHandle& handle) {
  auto memory = SharedMemory::open(handle.memory);
  const auto* layout = reinterpret_cast<const Layout*>(memory->data());
  if (memory->bytes() < sizeof(Layout) || layout->mark != Layout::kMark || memory->bytes() != layout->dataOffset() + layout->memoryBytes) {
    throw std::runtime_error("this shared memory is no object store");
  }
  SpillFile spillFile = handle.spillFd >= 0 ? SpillFile::open(handle.memory.pid, handle.spillFd) : SpillFile();
  return std::shared_ptr<Store>(new Store(std::move(memory), std::move(spillFile)));
}

Store::Store(std::shared_ptr<SharedMemory> memory, SpillFile spillFile)
    : memory_(std::move(memory)), layout_(reinterpret_cast<Layout*>(memory_->data())), spillFile_(std::move(spillFile)) {
  join();
}

Store::~Store() {
  quietly([&] {
    Lock lock(*this);
    layout_->processes[slot_].pid.store(0, std::memory_order_release);
    sweep();
  });
  layout_->freed.notify();
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

StoreHandle Store::handle() const { return {memory_->handle(), spillFile_.fd()}; }

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
    CRASH_POINT();
    if (!commit(offset, size, &isZero)) {
      layout_->memory().give({offset, size});
      throw StoreFullError("the host has no memory left for an object of " + std::to_string(bytes) + " bytes");
    }
    CRASH_POINT();
    if (layout_->firstEmpty != 0) {
      id.index = layout_->firstEmpty - 1;
      layout_->firstEmpty = layout_->objects()[id.index].next;
    } else {
      id.index = layout_->objectsUsed++;
    }
    CRASH_POINT();
    auto& object = layout_->objects()[id.index];
    object.bytes = size;
    object.used = ++layout_->clock;
    object.place.store(offset, std::memory_order_release);
    id.generation = object.generation.fetch_add(1, std::memory_order_acq_rel) + 1;
    insert(object.holders, slot_);
    insert(object.mappers, slot_);
    CRASH_POINT();
    object.state.store(Object::kLive, std::memory_order_release);
    CRASH_POINT();
    *data = layout_->data() + offset;
    std::lock_guard<std::mutex> own(mutex_);
    own_[keyOf(id)] = {1, 1, *data};
  }
  const bool isWritten = !zeroed || !isZero;
  if (isWritten) populate(*data, bytes);
  if (zeroed && isWritten) std::memset(*data, 0, size);
  return id;
}

void Store::hold(ObjectId id) {
  if (countOwn(id, [](Own& own) { own.holds++; })) return;
  Lock lock(*this);
  auto& object = at(id);
  insert(object.holders, slot_);
  CRASH_POINT();
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
    CRASH_POINT();
    erase(object->holders, slot_);
    CRASH_POINT();
    if (!isEmpty(object->holders)) return;
    drop(*object);
  }
  layout_->freed.notify();
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

uint64_t Store::bytesOf(ObjectId id) const { return at(id).bytes; }

bool Store::isSpilled(ObjectId id) const { return (at(id).place.load(std::memory_order_acquire) & kOnDisk) != 0; }

void Store::awaitFree(std::chrono::nanoseconds timeout) {
  const uint32_t seen = layout_->freed.read();
  layout_->freed.wait(seen, timeout);
}

/// Frees an object that nobody holds.
void Store::drop(Object& object) {
  if (object.state.load(std::memory_order_acquire) == Object::kMoving) return;  // who moves it will see
  const uint64_t where = object.place.load(std::memory_order_acquire);
  object.state.store(Object::kEmpty, std::memory_order_release);
  CRASH_POINT();
  object.next = layout_->firstEmpty;
  layout_->firstEmpty = static_cast<uint32_t>(&object - layout_->objects()) + 1;
  CRASH_POINT();
  if ((where & kOnDisk) != 0) {
    layout_->disk().give({where & ~kOnDisk, object.bytes});
  } else {
    layout_->memory().give({where, object.bytes});
    CRASH_POINT();
    if (object.bytes >= kChunk) trim(where, object.bytes);
  }
  CRASH_POINT();
}

}  // namespace troupe::store
