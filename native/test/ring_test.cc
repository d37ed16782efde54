#include <numeric>
#include <random>
#include <thread>
#include <vector>

#include "check.h"
#include "sync/eventcount.h"
#include "sync/ring.h"

using namespace troupe;

TEST("a ring carries every byte in order between two threads that move pieces of random sizes") {
  constexpr size_t kCapacity = 1 << 10, kTotal = 1 << 20;
  std::vector<uint64_t> memory(Ring::footprint(kCapacity) / 8 + 8);
  auto* start = reinterpret_cast<uint8_t*>((reinterpret_cast<uintptr_t>(memory.data()) + 63) & ~uintptr_t{63});
  Eventcount event;
  std::thread writer([&] {
    Ring ring(start, kCapacity);
    std::mt19937 random(1);
    std::vector<uint8_t> piece(3'000);
    for (size_t sent = 0; sent < kTotal;) {
      const size_t size = std::min<size_t>(random() % piece.size(), kTotal - sent);
      for (size_t i = 0; i < size; i++) piece[i] = static_cast<uint8_t>((sent + i) * 31);
      const size_t moved = ring.write(piece.data(), size);
      sent += moved;
      event.notify();
      if (moved < size) std::this_thread::yield();
    }
  });
  Ring ring(start, kCapacity);
  std::mt19937 random(2);
  std::vector<uint8_t> piece(2'000);
  for (size_t received = 0; received < kTotal;) {
    const uint32_t seen = event.read();
    const size_t moved = ring.read(piece.data(), random() % piece.size() + 1);
    for (size_t i = 0; i < moved; i++) CHECK(piece[i] == static_cast<uint8_t>((received + i) * 31));
    received += moved;
    if (moved == 0) event.wait(seen, std::chrono::milliseconds(100));
  }
  writer.join();
  CHECK(ring.readable() == 0);
}

TEST("who waits on an eventcount wakes at an event") {
  Eventcount event;
  const uint32_t seen = event.read();
  std::thread notifier([&] { event.notify(); });
  while (event.read() == seen) event.wait(seen, std::chrono::seconds(10));
  notifier.join();
}
