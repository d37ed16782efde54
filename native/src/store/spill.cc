// Objects that no process has mapped leave the memory for the spill file when it runs short, and come back when they are mapped.
#include <cerrno>
#include <system_error>

#include "memory/crash_point.h"
#include "store/layout.h"

namespace troupe::store {

/// Moves an object to where `copy` copies it, with the lock let go of meanwhile.
template <class Copy>
bool Store::move(Lock& lock, Object& object, uint64_t target, Copy&& copy) {
  object.target = target;
  object.mover = slot_;
  CRASH_POINT();
  object.state.store(Object::kMoving, std::memory_order_release);
  CRASH_POINT();
  lock.release();
  CRASH_POINT();
  const bool isCopied = copy();
  CRASH_POINT();
  lock.acquire();
  if (isCopied) object.place.store(target, std::memory_order_release);
  CRASH_POINT();
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

/// Writes the object that was used longest ago, of those that nobody has mapped, to the spill file. False when there is
/// none, or no room for it.
bool Store::spillSome(Lock& lock) {
  if (!spillFile_.exists()) return false;
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
  return move(lock, *victim, offset | kOnDisk, [&] { return spillFile_.write(layout_->data() + from, victim->bytes, offset); });
}

/// Moves a spilled object into memory, unless another process does so first.
void Store::readBack(Lock& lock, Object& object, uint64_t where) {
  uint64_t offset = 0;
  if (!layout_->memory().take(object.bytes, &offset) && !makeRoom(lock, object.bytes, &offset))
    throw StoreFullError(describeFull(object.bytes));
  const bool isStillThere =
      object.state.load(std::memory_order_acquire) == Object::kLive && object.place.load(std::memory_order_acquire) == where;
  bool isZero;
  if (!isStillThere || !commit(offset, object.bytes, &isZero)) {
    layout_->memory().give({offset, object.bytes});
    if (isStillThere) throw StoreFullError("the host has no memory left to read an object back into");
    return;
  }
  const bool isRead = move(lock, object, offset, [&] { return spillFile_.read(layout_->data() + offset, object.bytes, where & ~kOnDisk); });
  if (!isRead) throw std::system_error(errno, std::generic_category(), "cannot read an object back from the spill file");
}

bool Store::copySpilled(ObjectId id, uint8_t* to, uint64_t bytes) {
  auto& object = at(id);
  const uint64_t where = object.place.load(std::memory_order_acquire);
  if ((where & kOnDisk) == 0 || bytes > object.bytes || !spillFile_.read(to, bytes, where & ~kOnDisk)) return false;
  // Its part of the file is another's as soon as it has moved.
  Lock lock(*this);
  return object.place.load(std::memory_order_acquire) == where;
}

}  // namespace troupe::store
