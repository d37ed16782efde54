#include "memory/copy.h"

#include <algorithm>
#include <cstring>
#include <system_error>
#include <thread>
#include <vector>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

namespace troupe {
namespace {

/// The least bytes that a thread copies, which takes some ten times as long as starting it.
constexpr size_t kShare = size_t{8} << 20;
/// More threads than this do not copy faster.
constexpr size_t kMostThreads = 4;
constexpr size_t kPage = 4096;
[[maybe_unused]] constexpr size_t kLine = 64;

}  // namespace

void copyBytes(uint8_t* to, const uint8_t* from, size_t bytes) {
  // Asked once: each time the system reads a file for it.
  static const size_t most = std::min<size_t>(kMostThreads, std::max(1u, std::thread::hardware_concurrency()));
  const size_t threads = std::clamp<size_t>(bytes / kShare, 1, most);
  const size_t share = (bytes / threads + kPage - 1) / kPage * kPage;
  std::vector<std::thread> helpers;
  size_t start = 0;
  for (; helpers.size() + 1 < threads; start += share) {
    try {
      helpers.emplace_back([=] { std::memcpy(to + start, from + start, share); });
    } catch (const std::system_error&) {
      break;
    }
  }
  if (bytes > start) std::memcpy(to + start, from + start, bytes - start);
  for (auto& helper : helpers) helper.join();
}

void streamBytes(uint8_t* to, const uint8_t* from, size_t bytes) {
#ifdef __SSE2__
  const size_t before = std::min(bytes, (kLine - reinterpret_cast<uintptr_t>(to) % kLine) % kLine);
  std::memcpy(to, from, before);
  size_t at = before;
  for (; at + kLine <= bytes; at += kLine) {
    __m128i line[4];
    std::memcpy(line, from + at, kLine);
    auto* into = reinterpret_cast<__m128i*>(to + at);
    for (int part = 0; part < 4; part++) _mm_stream_si128(into + part, line[part]);
  }
  _mm_sfence();  // orders them before what the caller publishes next
  to += at, from += at, bytes -= at;
#endif
  if (bytes > 0) std::memcpy(to, from, bytes);
}

}  // namespace troupe
