#include "program/limits.h"

#include <algorithm>
#include <chrono>
#include <cstring>

#include "device/storage.h"
#include "kernel/kernels.h"
#include "program/thread_pool.h"

namespace troupe::program {
namespace {

constexpr int kRounds = 5;

/// The shortest time that `round` takes, in seconds.
template <class Round>
double shortest(Round&& round) {
  double best = 1e9;
  for (int i = 0; i < kRounds; i++) {
    const auto start = std::chrono::steady_clock::now();
    round();
    best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
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
  constexpr size_t kPiece = 1 << 18;
  return static_cast<double>(bytes) / shortest([&] {
           pool.forEach(bytes / sizeof(float), kPiece,
                        [&](size_t begin, size_t end) { sink = kernel::kernels().sum(floats + begin, end - begin); });
         });
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
