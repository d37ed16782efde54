// Executes kernels: the threads of a block as fibres, which take turns where they wait for each other.
#include "execution.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <link.h>
#include <mutex>
#include <vector>

#include "checker.h"
#include "cuda_double.h"
#include "fibre.h"

namespace gpu_double {
namespace {

enum class State { Ready, AtBarrier, InExchange, Done };

struct Thread {
  State state;
  Index index;
  const void* site;  // of what it waits in
  Exchange exchange;
  unsigned mask, source;
  unsigned long long value;
};

/// Accesses to memory after which a kernel counts as one that does not end.
constexpr unsigned long long kMostAccesses = 20ull << 30;

class Execution {
 public:
  int run(const CompiledModule& module, const Launch& launch);

 private:
  void findShared(const CompiledModule& module);
  bool runBlock();
  bool enter(size_t thread);
  bool release();
  void stuck();
  [[noreturn]] void fail(int result, const std::string& what);
  void report(int result, const std::string& what);

  void access(const void* address, size_t bytes, Access kind, bool mustBeAligned, const void* site);
  void barrier(const void* site);
  unsigned long long exchange(Exchange kind, unsigned mask, unsigned long long value, unsigned source, const void* site);
  bool complete(size_t warp, const Thread& arrived);

  Fibres fibres_;
  Checker checker_;
  Here here_{};
  const Launch* launch_ = nullptr;
  std::vector<Thread> threads_;
  std::vector<uint32_t> warpPhases_;
  size_t current_ = 0;
  int result_ = 0;
  unsigned long long accesses_ = 0;
  // Of the block's shared memory, statics and dynamic memory.
  Range statics_, dynamic_;
  std::vector<WordRecord> recordsOfShared_;
};

Execution& execution() {
  static auto* const one = new Execution;
  return *one;
}

std::string text(const Index& index) {
  return "(" + std::to_string(index.x) + ", " + std::to_string(index.y) + ", " + std::to_string(index.z) + ")";
}

/// The line of a source that a call came from, where addr2line finds it.
std::string lineOf(const void* site) {
  Dl_info info{};
  if (site == nullptr || dladdr(site, &info) == 0 || info.dli_fname == nullptr) return "";
  const size_t offset = reinterpret_cast<uintptr_t>(site) - reinterpret_cast<uintptr_t>(info.dli_fbase) - 1;
  char command[600], line[400] = {};
  std::snprintf(command, sizeof command, "addr2line -e %s 0x%zx 2>/dev/null", info.dli_fname, offset);
  FILE* pipe = popen(command, "re");
  if (pipe == nullptr) return "";
  const bool isRead = std::fgets(line, sizeof line, pipe) != nullptr;
  pclose(pipe);
  line[std::strcspn(line, "\n (")] = 0;
  const char* file = std::strrchr(line, '/');
  return isRead && std::strstr(line, "??") == nullptr ? std::string(" at ") + (file != nullptr ? file + 1 : line) : "";
}

int Execution::run(const CompiledModule& module, const Launch& launch) {
  launch_ = &launch;
  result_ = 0;
  accesses_ = 0;
  here_.blockDim = launch.block;
  here_.gridDim = launch.grid;
  here_.access = [](const void* address, unsigned long bytes, Access kind, bool mustBeAligned, const void* site) {
    execution().access(address, bytes, kind, mustBeAligned, site);
  };
  here_.barrier = [](const void* site) { execution().barrier(site); };
  here_.exchange = [](Exchange kind, unsigned mask, unsigned long long value, unsigned source, const void* site) {
    return execution().exchange(kind, mask, value, source, site);
  };
  here_.translate = [](const void* address) -> void* {
    uint8_t* behind = bytesBehind(address, 0);
    return behind != nullptr ? behind : const_cast<void*>(address);
  };
  here_.bytesOfStack = Fibres::kStackBytes;
  module.attach(&here_);
  findShared(module);
  checker_.beginLaunch();
  for (unsigned z = 0; z < launch.grid.z; z++) {
    for (unsigned y = 0; y < launch.grid.y; y++) {
      for (unsigned x = 0; x < launch.grid.x; x++) {
        here_.blockIdx = {x, y, z};
        if (!runBlock()) return result_;
      }
    }
  }
  return 0;
}

/// Shared variables are the thread-local ones of a module.
void Execution::findShared(const CompiledModule& module) {
  struct Search {
    uintptr_t anchor, begin;
    size_t bytes;
  } search{reinterpret_cast<uintptr_t>(module.anchor()), 0, 0};
  dl_iterate_phdr(
      [](dl_phdr_info* info, size_t, void* data) {
        auto& looked = *static_cast<Search*>(data);
        for (int i = 0; i < info->dlpi_phnum; i++) {
          const auto& header = info->dlpi_phdr[i];
          const auto begin = reinterpret_cast<uintptr_t>(info->dlpi_tls_data);
          if (header.p_type != PT_TLS || begin == 0 || looked.anchor - begin >= header.p_memsz) continue;
          looked.begin = begin;
          looked.bytes = header.p_memsz;
          return 1;
        }
        return 0;
      },
      &search);
  statics_ = {search.begin, search.bytes, nullptr, true};
  dynamic_ = {0, 0, nullptr, true};
  if (module.dynamic != nullptr) {
    dynamic_.begin = reinterpret_cast<uintptr_t>(module.dynamic());
    dynamic_.bytes = launch_->dynamicBytes;
    statics_.bytes = dynamic_.begin - statics_.begin;  // it is linked last
  }
  recordsOfShared_.assign((statics_.bytes + dynamic_.bytes) / 4 + 8, {});
  statics_.records = recordsOfShared_.data();
  dynamic_.records = recordsOfShared_.data() + statics_.bytes / 4 + 4;
  checker_.setShared({statics_, dynamic_});
}

bool Execution::runBlock() {
  const Index& block = launch_->block;
  const size_t count = static_cast<size_t>(block.x) * block.y * block.z;
  // What was there before is no number.
  std::memset(reinterpret_cast<void*>(statics_.begin), 0xff, statics_.bytes);
  if (dynamic_.bytes > 0) std::memset(reinterpret_cast<void*>(dynamic_.begin), 0xff, dynamic_.bytes);
  checker_.beginBlock();
  threads_.assign(count, {});
  warpPhases_.assign((count + 31) / 32, 0);
  for (size_t i = 0; i < count; i++) {
    const auto n = static_cast<unsigned>(i);
    threads_[i].index = {n % block.x, n / block.x % block.y, n / block.x / block.y};
  }
  fibres_.start(
      count,
      [](void* self) {
        auto* running = static_cast<Execution*>(self);
        running->launch_->kernel(running->launch_->parameters);
        running->threads_[running->current_].state = State::Done;
        running->fibres_.leave();
      },
      this);
  for (;;) {
    bool ran = false, isOver = true;
    for (size_t i = 0; i < count; i++) {
      if (threads_[i].state == State::Done) continue;
      isOver = false;
      if (threads_[i].state != State::Ready) continue;
      ran = true;
      if (!enter(i)) return false;
    }
    if (isOver) return true;
    if (ran || release()) continue;
    stuck();
    return false;
  }
}

bool Execution::enter(size_t thread) {
  current_ = thread;
  here_.threadIdx = threads_[thread].index;
  here_.lane = static_cast<unsigned>(thread % 32);
  here_.lowestOfStack = fibres_.stackOf(thread);
  fibres_.enter(thread);
  return result_ == 0;
}

/// Opens the barrier if all of the block wait at it.
bool Execution::release() {
  for (const auto& thread : threads_) {
    if (thread.state != State::AtBarrier || thread.site != threads_[0].site) return false;
  }
  for (auto& thread : threads_) thread.state = State::Ready;
  checker_.passBarrier();
  return true;
}

/// Says why no thread of the block can go on.
void Execution::stuck() {
  for (size_t i = 0; i < threads_.size(); i++) {
    if (threads_[i].state == State::Done) continue;
    const bool isAtBarrier = threads_[i].state == State::AtBarrier;
    for (size_t other = 0; other < threads_.size(); other++) {
      const auto& missing = threads_[other];
      const bool isThere = missing.state == threads_[i].state && missing.site == threads_[i].site;
      const bool isExpected = isAtBarrier || (other / 32 == i / 32 && (threads_[i].mask >> (other % 32) & 1) != 0);
      if (isThere || !isExpected) continue;
      current_ = i;
      report(kCudaLaunchFailed, std::string("divergent ") + (isAtBarrier ? "barrier" : "exchange of a warp") + lineOf(threads_[i].site) +
                                    ": thread " + std::to_string(other) + " " +
                                    (missing.state == State::Done ? "has ended" : "waits elsewhere" + lineOf(missing.site)));
      return;
    }
  }
  report(kCudaLaunchFailed, "threads that wait for lanes with different masks");
}

void Execution::report(int result, const std::string& what) {
  result_ = result;
  std::fprintf(stderr, "gpu double: kernel %s, block %s, thread %s: %s\n", launch_->name.c_str(), text(here_.blockIdx).c_str(),
               text(threads_[current_].index).c_str(), what.c_str());
}

void Execution::fail(int result, const std::string& what) {
  report(result, what);
  fibres_.leave();
  std::abort();  // nobody continues a fibre that has failed
}

void Execution::access(const void* address, size_t bytes, Access kind, bool mustBeAligned, const void* site) {
  const auto at = reinterpret_cast<uintptr_t>(address);
  if (++accesses_ > kMostAccesses) fail(kCudaLaunchFailed, "the kernel does not end" + lineOf(site));
  const Moment now{checker_.phase(), warpPhases_[current_ / 32], static_cast<uint32_t>(current_)};
  const Fault fault = checker_.check(at, bytes, kind, mustBeAligned, now);
  if (fault.result == 0) return;
  // Constants of the module itself.
  Dl_info info{};
  if (kind == Access::Read && fault.result == kCudaIllegalAddress && dladdr(address, &info) != 0) {
    Dl_info own{};
    if (dladdr(reinterpret_cast<void*>(launch_->kernel), &own) != 0 && own.dli_fbase == info.dli_fbase) return;
  }
  if (fibres_.areStacks(at)) fail(kCudaIllegalAddress, "access to a local variable of another thread" + lineOf(site));
  fail(fault.result, fault.text + lineOf(site));
}

void Execution::barrier(const void* site) {
  auto& thread = threads_[current_];
  thread.state = State::AtBarrier;
  thread.site = site;
  fibres_.leave();
}

unsigned long long Execution::exchange(Exchange kind, unsigned mask, unsigned long long value, unsigned source, const void* site) {
  auto& thread = threads_[current_];
  const size_t warp = current_ / 32, first = warp * 32;
  const size_t lanes = std::min<size_t>(32, threads_.size() - first);
  const unsigned there = lanes == 32 ? 0xffffffffu : (1u << lanes) - 1;
  // Waiting for lanes that a block does not have is allowed, and does nothing.
  if (kind == Exchange::Wait) mask &= there;
  if ((mask & ~there) != 0) fail(kCudaLaunchFailed, "an exchange of a warp names lanes that are not there" + lineOf(site));
  if ((mask >> (current_ % 32) & 1) == 0) fail(kCudaLaunchFailed, "an exchange of a warp does not name the lane itself" + lineOf(site));
  if (kind == Exchange::Shuffle && (mask >> source & 1) == 0)
    fail(kCudaLaunchFailed, "a shuffle from lane " + std::to_string(source) + ", which does not take part" + lineOf(site));
  thread = {State::InExchange, thread.index, site, kind, mask, source, value};
  if (!complete(warp, thread)) fibres_.leave();
  return threads_[current_].value;
}

/// Gives every lane what it asked for once all of them are there, and lets them go on.
bool Execution::complete(size_t warp, const Thread& arrived) {
  unsigned long long values[32] = {};
  unsigned ballot = 0;
  const Thread asked = arrived;
  for (unsigned lane = 0; lane < 32; lane++) {
    if ((asked.mask >> lane & 1) == 0) continue;
    const auto& thread = threads_[warp * 32 + lane];
    if (thread.state != State::InExchange || thread.mask != asked.mask || thread.exchange != asked.exchange || thread.site != asked.site)
      return false;
    values[lane] = thread.value;
    if (thread.value != 0) ballot |= 1u << lane;
  }
  for (unsigned lane = 0; lane < 32; lane++) {
    if ((asked.mask >> lane & 1) == 0) continue;
    auto& thread = threads_[warp * 32 + lane];
    thread.state = State::Ready;
    thread.value = asked.exchange == Exchange::Ballot ? ballot : values[thread.source];
  }
  const size_t lanes = std::min<size_t>(32, threads_.size() - warp * 32);
  if (asked.exchange == Exchange::Wait && static_cast<size_t>(__builtin_popcount(asked.mask)) == lanes) warpPhases_[warp]++;
  return true;
}

}  // namespace

int execute(const CompiledModule& module, const Launch& launch) {
  static std::mutex mutex;
  std::lock_guard<std::mutex> lock(mutex);
  return execution().run(module, launch);
}

}  // namespace gpu_double
