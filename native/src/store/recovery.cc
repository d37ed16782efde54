// Which processes share a store, and what becomes of what they held, and of changes that were under way, when they end.
#include <cerrno>
#include <fstream>
#include <sstream>
#include <string>
#include <system_error>
#include <unistd.h>

#include "memory/crash_point.h"
#include "memory/process.h"
#include "store/layout.h"

namespace troupe::store {
namespace {

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

}  // namespace

void Store::Lock::acquire() {
  const int result = pthread_mutex_lock(&store_.layout_->lock);
  if (result == EOWNERDEAD) {
    pthread_mutex_consistent(&store_.layout_->lock);
    store_.sweep();
    store_.rebuild();
  } else if (result != 0) {
    throw std::system_error(result, std::generic_category(), "cannot lock the object store");
  }
}

void Store::join() {
  Lock lock(*this);
  for (int attempt = 0; attempt < 2; attempt++) {
    for (uint32_t slot = 0; slot < kProcesses; slot++) {
      auto& process = layout_->processes[slot];
      if (process.pid.load(std::memory_order_acquire) != 0) continue;
      process.start = startOf(getpid());
      CRASH_POINT();
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

size_t Store::reap() {
  size_t freed;
  {
    Lock lock(*this);
    freed = sweep();
  }
  if (freed > 0) layout_->freed.notify();
  return freed;
}

/// Ends a move, wherever it has come to: the place that the object is not in is free again.
void Store::settle(Object& object) {
  object.state.store(isEmpty(object.holders) ? Object::kEmpty : Object::kLive, std::memory_order_release);
  CRASH_POINT();
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
    CRASH_POINT();
    if (!isEmpty(object.holders)) continue;
    if (object.state.load(std::memory_order_acquire) == Object::kMoving && isAlive(object.mover)) continue;
    object.state.store(Object::kEmpty, std::memory_order_release);
    freed++;
    CRASH_POINT();
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
  CRASH_POINT();
  layout_->disk().rebuild(std::move(disk));
}

}  // namespace troupe::store
