#include "store/store.h"

#include <csignal>
#include <cstring>
#include <random>
#include <sys/mman.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include "check.h"
#include "memory/crash_point.h"
#include "store/extents.h"
#include "store/hold.h"

using namespace troupe;
using namespace troupe::store;
using namespace std::chrono_literals;

namespace {

constexpr uint64_t kMebibyte = 1 << 20;

struct Made {
  ObjectId id;
  uint8_t* data;
};

Made make(Store& store, uint64_t bytes, uint8_t content) {
  Made made;
  made.id = store.create(bytes, false, &made.data);
  std::memset(made.data, content, bytes);
  return made;
}

bool isFilled(const uint8_t* data, uint64_t bytes, uint8_t content) {
  for (uint64_t i = 0; i < bytes; i++) {
    if (data[i] != content) return false;
  }
  return true;
}

/// What processes of a test share beside the store.
struct Board {
  std::atomic<int> steps{0};
  std::atomic<int> stage{0};
  std::atomic<uint64_t> object{0};
};

Board& shareBoard() {
  void* memory = mmap(nullptr, sizeof(Board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  CHECK(memory != MAP_FAILED);
  return *new (memory) Board;
}

Board* board = nullptr;
int lastStep = 0;

void endAtLastStep() {
  if (++board->steps == lastStep) kill(getpid(), SIGKILL);
}

/// Runs a function in a process of its own that opens the store; with a step, it is killed there. Returns whether it was.
bool inProcess(const StoreHandle& handle, const std::function<void(Store&)>& body, int step = 0) {
  if (board != nullptr) board->steps = 0;
  const pid_t child = fork();
  if (child == 0) {
    alarm(20);
    lastStep = step;
    if (step > 0) crashPoint = endAtLastStep;
    const auto store = Store::open(handle);
    body(*store);
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  CHECK(WIFSIGNALED(status) ? WTERMSIG(status) == SIGKILL && step > 0 : WEXITSTATUS(status) == 0);
  return WIFSIGNALED(status);
}

}  // namespace

TEST("free extents join with their neighbours, whatever the order they are given back in") {
  constexpr uint32_t kCapacity = 100;
  std::vector<uint64_t> memory(FreeExtents::footprint(kCapacity) / 8 + 1);
  auto& free = *reinterpret_cast<FreeExtents*>(memory.data());
  free.reset(kCapacity, 10'000);
  std::mt19937 random(7);
  std::vector<Extent> taken;
  for (int round = 0; round < 5'000; round++) {
    uint64_t offset;
    const uint64_t bytes = random() % 300 + 1;
    if (taken.size() < kCapacity - 1 && random() % 2 == 0 && free.take(bytes, &offset)) {
      for (const auto& other : taken) CHECK(offset + bytes <= other.offset || other.offset + other.bytes <= offset);
      taken.push_back({offset, bytes});
    } else if (!taken.empty()) {
      std::swap(taken[random() % taken.size()], taken.back());
      free.give(taken.back());
      taken.pop_back();
    }
    uint64_t used = 0;
    for (const auto& extent : taken) used += extent.bytes;
    CHECK(free.free() == 10'000 - used);
  }
  for (const auto& extent : taken) free.give(extent);
  CHECK(free.largest() == 10'000);
}

TEST("an object of the store is seen by every process that holds it, and freed when none does") {
  const auto store = Store::create({8 * kMebibyte, 0, "/tmp", 64});
  const uint64_t before = store->freeBytes();
  const auto made = make(*store, kMebibyte, 1);
  CHECK(inProcess(store->handle(), [&](Store& other) {
          other.hold(made.id);
          uint8_t* data = other.map(made.id);
          CHECK(isFilled(data, kMebibyte, 1));
          data[5] = 9;
          other.release(made.id);
        }) == false);
  CHECK(made.data[5] == 9);
  store->hold(made.id);
  store->release(made.id);
  CHECK(store->freeBytes() == before - kMebibyte);
  store->release(made.id);
  CHECK(store->freeBytes() == before);
  bool isGone = false;
  try {
    store->hold(made.id);
  } catch (const ObjectGoneError&) {
    isGone = true;
  }
  CHECK(isGone);
}

TEST("a hold whose object is gone is let go of without a word") {
  const auto store = Store::create({4 * kMebibyte, 0, "/tmp", 16});
  auto made = make(*store, kMebibyte, 1);
  auto hold = std::make_unique<Hold>(store, made.id, made.data);
  auto another = std::make_unique<Hold>(store, made.id, true);
  // A copy of this process lets go in its place, as one does that takes it for dead.
  const pid_t copy = fork();
  if (copy == 0) {
    store->release(made.id);
    store->release(made.id);
    _exit(0);
  }
  int status = 0;
  waitpid(copy, &status, 0);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  try {
    store->bytesOf(made.id);
    CHECK(false);
  } catch (const ObjectGoneError&) {
  }
  hold.reset();
  another.reset();
  const auto next = make(*store, kMebibyte, 2);
  CHECK(isFilled(next.data, kMebibyte, 2));
}

TEST("what is made anew in the store is zero where that was asked for") {
  const auto store = Store::create({8 * kMebibyte, 0, "/tmp", 64});
  for (const uint64_t bytes : {100ul, 3 * kMebibyte, 200ul, 5 * kMebibyte}) {
    store->release(make(*store, bytes, 7).id);
    uint8_t* data;
    const auto id = store->create(bytes, true, &data);
    CHECK(isFilled(data, bytes, 0));
    store->release(id);
  }
}

TEST("a full store reclaims what ended processes held, spills what nobody has mapped, and then says what holds its memory") {
  const auto store = Store::create({8 * kMebibyte, 12 * kMebibyte, "/tmp", 64});
  uint8_t* unused;
  for (int i = 0; i < 3; i++) inProcess(store->handle(), [&](Store& other) { other.create(2 * kMebibyte, false, &unused); });
  std::vector<ObjectId> ids;
  for (uint8_t i = 0; i < 10; i++) {
    const auto made = make(*store, 2 * kMebibyte, i);
    store->unmap(made.id);
    ids.push_back(made.id);
  }
  CHECK(store->spilledBytes() == 12 * kMebibyte);
  CHECK(store->isSpilled(ids[0]) && !store->isSpilled(ids[9]));
  std::string reason;
  try {
    store->create(2 * kMebibyte, false, &unused);
  } catch (const StoreFullError& error) {
    reason = error.what();
  }
  CHECK(
      reason ==
      "the object store has no room for 2 MiB: of 8 MiB, 0 MiB are in use by processes and 8 MiB are held by refs; 12 MiB of 12 MiB are spilled to disk");
  CHECK(store->usage().size() == 1 && store->usage()[0].objects == 10);
  store->release(ids[9]);
  for (uint8_t i = 0; i < 9; i++) {
    inProcess(store->handle(), [&](Store& other) {
      other.hold(ids[i]);
      CHECK(isFilled(other.map(ids[i]), 2 * kMebibyte, i));
    });
    store->reap();
  }
  for (uint8_t i = 0; i < 9; i++) store->release(ids[i]);
  CHECK(store->freeBytes() == 8 * kMebibyte && store->spilledBytes() == 0);
}

TEST("processes that make, share, spill and free objects of the store at once keep their contents apart") {
  const auto store = Store::create({4 * kMebibyte, 64 * kMebibyte, "/tmp", 512});
  std::vector<pid_t> children;
  for (unsigned seed = 0; seed < 3; seed++) {
    const pid_t child = fork();
    if (child != 0) {
      children.push_back(child);
      continue;
    }
    alarm(60);
    const auto own = Store::open(store->handle());
    std::mt19937 random(seed);
    std::vector<std::pair<ObjectId, uint64_t>> held;
    for (int round = 0; round < 300; round++) {
      const uint64_t bytes = random() % 400'000 + 1;
      const auto content = static_cast<uint8_t>(random());
      const auto made = make(*own, bytes, content);
      own->unmap(made.id);
      held.push_back({made.id, bytes << 8 | content});
      const auto& [id, what] = held[random() % held.size()];
      CHECK(isFilled(own->map(id), what >> 8, static_cast<uint8_t>(what)));
      own->unmap(id);
      if (held.size() > 20) {
        std::swap(held[random() % held.size()], held.back());
        own->release(held.back().first);
        held.pop_back();
      }
    }
    _exit(0);
  }
  for (const pid_t child : children) {
    int status;
    waitpid(child, &status, 0);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  }
  store->reap();
  CHECK(store->freeBytes() == 4 * kMebibyte && store->spilledBytes() == 0);
}

TEST("a process killed at any step of the store's protocol leaves it usable, and nothing leaked") {
  board = &shareBoard();
  bool isReached = true;
  for (int step = 1; isReached; step++) {
    CHECK(step < 2000);
    const auto store = Store::create({4 * kMebibyte, 8 * kMebibyte, "/tmp", 32});
    std::vector<ObjectId> ids;
    for (uint8_t i = 0; i < 3; i++) {
      const auto made = make(*store, kMebibyte, i);
      store->unmap(made.id);
      ids.push_back(made.id);
    }
    isReached = inProcess(
        store->handle(),
        [&](Store& other) {
          other.hold(ids[0]);
          const auto first = make(other, 2 * kMebibyte, 10);  // spills
          other.release(first.id);
          const auto second = make(other, 100, 11);
          other.unmap(second.id);
          CHECK(isFilled(other.map(ids[0]), kMebibyte, 0));  // reads back
          other.unmap(ids[0]);
          other.release(ids[0]);
          other.release(second.id);
          other.reap();
        },
        step);
    store->reap();
    for (uint8_t i = 0; i < 3; i++) {
      CHECK(isFilled(store->map(ids[i]), kMebibyte, i));
      store->release(ids[i]);
    }
    store->reap();
    CHECK(store->freeBytes() == 4 * kMebibyte);
    CHECK(store->spilledBytes() == 0);
    store->release(make(*store, 4 * kMebibyte, 1).id);
  }
  munmap(board, sizeof(Board));
  board = nullptr;
}

TEST("a process that joins a store which as many use as may is told so, and joins once another has left") {
  const auto store = Store::create({2 * kMebibyte, 0, "/tmp", 64});
  std::vector<std::shared_ptr<Store>> others;
  std::string reason;
  for (int number = 0; number < 2000 && reason.empty(); number++) {
    try {
      others.push_back(Store::open(store->handle()));
    } catch (const std::exception& error) {
      reason = error.what();
    }
  }
  CHECK(others.size() == 1023);
  CHECK(
      reason ==
      "the object store of this node is used by 1024 processes already, which is the most; spawn fewer actors a node, or with isolation 'thread' or 'local'");
  const auto object = make(*store, kMebibyte, 7);
  CHECK(isFilled(object.data, kMebibyte, 7));
  others.pop_back();
  CHECK(!inProcess(store->handle(), [](Store& joined) { make(joined, kMebibyte, 8); }));
  others.push_back(Store::open(store->handle()));
}
