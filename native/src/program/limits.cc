#include "program/limits.h"

#include <algorithm>
#include <chrono>
#include <cstring>

#include "device/storage.h"
#include "kernel/kernels.h"
#include "memory/populate.h"
#include "memory/shared_memory.h"
#include "program/thread_pool.h"

namespace troupe::program {
namespace {

constexpr int kRounds = 5;
constexpr size_t kPage = 4096;
constexpr size_t kPieceFloats = 1 << 18;  // that a thread takes at a time

template <class Work>
double secondsOf(Work&& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// The shortest time that `round` takes, in seconds.
template <class Round>
double shortest(Round&& round) {
  double best = 1e9;
  for (int i = 0; i < kRounds; i++) best = std::min(best, secondsOf(round));
  return best;
}

/// Results go here, so that no compiler leaves the work out.
volatile float sink;

}  // namespace

double readRate(size_t bytes, int threads) {
  const auto memory = Storage::allocate(bytes);
  std::memset(memory->data(), 1, bytes);
  ThreadPool pool(threads);
  const auto* floats = reinterpret_cast<const float*>(memory->data());
  return static_cast<double>(bytes) / shortest([&] {
           pool.forEach(bytes / sizeof(float), kPieceFloats,
                        [&](size_t begin, size_t end) { sink = kernel::kernels().sum(floats + begin, end - begin); });
         });
}

double addTime(size_t bytes, int threads) {
  const auto a = Storage::allocate(bytes), b = Storage::allocate(bytes), sum = Storage::allocate(bytes);
  for (const auto& memory : {a, b, sum}) std::memset(memory->data(), 0, bytes);
  const auto floats = [](const std::shared_ptr<Storage>& memory) { return reinterpret_cast<float*>(memory->data()); };
  ThreadPool pool(threads);
  return shortest([&] {
    pool.forEach(bytes / sizeof(float), kPieceFloats, [&](size_t begin, size_t end) {
      kernel::kernels().add(floats(a) + begin, floats(b) + begin, floats(sum) + begin, end - begin);
    });
  });
}

PageCosts pageCosts(size_t bytes) {
  bytes = std::max(bytes / kPage, size_t{1}) * kPage;
  const auto ofAPage = [&](auto&& work) { return secondsOf(work) * kPage / static_cast<double>(bytes); };
  const auto touch = [&](const SharedMemory& memory) {
    return ofAPage([&] {
      for (size_t at = 0; at < bytes; at += kPage) *const_cast<volatile uint8_t*>(memory.data() + at) = 1;
    });
  };
  const auto populateAll = [&](const SharedMemory& memory) { return ofAPage([&] { populate(memory.data(), bytes); }); };
  const auto one = SharedMemory::create(bytes, false), other = SharedMemory::create(bytes, false);
  PageCosts costs{};
  costs.fault = touch(*one);
  costs.populated = populateAll(*other);
  costs.mappedFault = touch(*SharedMemory::open(one->handle()));
  costs.mappedPopulated = populateAll(*SharedMemory::open(other->handle()));
  costs.touched = touch(*one);
  return costs;
}

double multiplyAddRate(int threads) {
  constexpr size_t kPieces = 64, kRoundsOfPiece = 1 << 19;
  ThreadPool pool(threads);
  const double seconds = shortest([&] {
    pool.forEach(kPieces, 1, [&](size_t begin, size_t end) { sink = kernel::kernels().multiplyAdd((end - begin) * kRoundsOfPiece); });
  });
  return static_cast<double>(kPieces * kRoundsOfPiece * kernel::kernels().multiplyAddsPerRound) / seconds;
}

}  // namespace troupe::program
