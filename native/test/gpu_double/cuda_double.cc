// A test double of the CUDA driver: "GPUs" whose memory is this process's and whose streams are threads. It implements what
// native/src/device/cuda.h declares and nothing else; nothing of it is part of what users run.
//
// TROUPE_DOUBLE_GPUS: how many GPUs the machine pretends to have (8). CUDA_VISIBLE_DEVICES chooses among them.
// TROUPE_DOUBLE_GPU_BYTES: the memory of each (16 GiB). TROUPE_DOUBLE_DRIVER: the version of the driver, such as 12040.
#include "cuda_double.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <sstream>
#include <sys/mman.h>
#include <thread>
#include <unistd.h>
#include <vector>

#include "checker.h"

namespace {

using DevicePointer = unsigned long long;

std::vector<int> visibleDevices() {
  const char* all = std::getenv("TROUPE_DOUBLE_GPUS");
  const int count = all != nullptr ? std::atoi(all) : 8;
  const char* chosen = std::getenv("CUDA_VISIBLE_DEVICES");
  std::vector<int> devices;
  if (chosen == nullptr) {
    for (int device = 0; device < count; device++) devices.push_back(device);
    return devices;
  }
  std::stringstream list(chosen);
  for (std::string entry; std::getline(list, entry, ',');) {
    const int device = std::atoi(entry.c_str());
    if (entry.empty() || device < 0 || device >= count) break;  // as CUDA does
    devices.push_back(device);
  }
  return devices;
}

struct Context {
  int device;
  std::atomic<int> failure{gpu_double::kCudaSuccess};  // of a kernel: the GPU is of no use to this process any more
};

/// What each thread has made current. Not thread-local, which in a library opened at run time confuses ThreadSanitizer.
struct Current {
  std::mutex mutex;
  std::map<std::thread::id, Context*> contexts;

  Context* get() {
    std::lock_guard<std::mutex> lock(mutex);
    const auto found = contexts.find(std::this_thread::get_id());
    return found != contexts.end() ? found->second : nullptr;
  }
};

Current& current() {
  static auto* const all = new Current;
  return *all;
}

struct Allocation {
  size_t bytes;
  uint8_t* behind;
  int device;
  gpu_double::WordRecord* records;
};

struct Memory {
  std::mutex mutex;
  std::map<uintptr_t, Allocation> allocations;
  std::map<int, size_t> used;  // by device
  uint64_t version = 1;        // of what is allocated
};

Memory& memory() {
  static auto* const all = new Memory;
  return *all;
}

size_t pagesOf(size_t bytes) { return (bytes + 4095) / 4096 * 4096; }

/// What lies around an allocation, so that what is a little out of bounds is in none.
constexpr size_t kGuard = 65536;

size_t capacity() {
  const char* bytes = std::getenv("TROUPE_DOUBLE_GPU_BYTES");
  return bytes != nullptr ? std::strtoull(bytes, nullptr, 10) : size_t{16} << 30;
}

struct Event {
  std::mutex mutex;
  int state = gpu_double::kCudaSuccess;
  int recordings = 0;  // of which the last one counts
};

class Stream {
 public:
  explicit Stream(Context* context) : context_(context), thread_([this] { loop(); }) {}
  ~Stream() {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      stopping_ = true;
    }
    changed_.notify_one();
    thread_.join();
  }
  void enqueue(std::function<int()> work) {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      work_.push_back(std::move(work));
    }
    changed_.notify_one();
  }
  int failure() const { return failure_; }
  Context* context() const { return context_; }

 private:
  void loop() {
    for (;;) {
      std::function<int()> work;
      {
        std::unique_lock<std::mutex> lock(mutex_);
        changed_.wait(lock, [this] { return stopping_ || !work_.empty(); });
        if (work_.empty()) return;
        work = std::move(work_.front());
        work_.pop_front();
      }
      if (const int lost = context_->failure; lost != gpu_double::kCudaSuccess) failure_ = lost;
      if (const int result = work(); result != gpu_double::kCudaSuccess) failure_ = result;
    }
  }

  Context* const context_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<int()>> work_;
  bool stopping_ = false;
  std::atomic<int> failure_{gpu_double::kCudaSuccess};
  std::thread thread_;
};

int copy(void* stream, std::function<uint8_t*()> to, std::function<const uint8_t*()> from, size_t bytes) {
  gpu_double::enqueue(stream, [=] {
    uint8_t* target = to();
    const uint8_t* source = from();
    if (target == nullptr || source == nullptr) return gpu_double::kCudaLaunchFailed;
    std::memcpy(target, source, bytes);
    return gpu_double::kCudaSuccess;
  });
  return gpu_double::kCudaSuccess;
}

}  // namespace

namespace gpu_double {

uint8_t* bytesBehind(const void* pointer, size_t bytes) {
  const auto address = reinterpret_cast<uintptr_t>(pointer);
  std::lock_guard<std::mutex> lock(memory().mutex);
  auto next = memory().allocations.upper_bound(address);
  if (next == memory().allocations.begin()) return nullptr;
  const auto& [begin, allocation] = *std::prev(next);
  const size_t offset = address - begin;
  return offset <= allocation.bytes && bytes <= allocation.bytes - offset ? allocation.behind + offset : nullptr;
}

void enqueue(void* stream, std::function<int()> work) { static_cast<Stream*>(stream)->enqueue(std::move(work)); }

void enqueueKernel(void* stream, std::function<int()> work) {
  Context* context = static_cast<Stream*>(stream)->context();
  enqueue(stream, [context, work = std::move(work)] {
    if (context->failure != kCudaSuccess) return context->failure.load();
    const int result = work();
    if (result != kCudaSuccess) context->failure = result;
    return result;
  });
}

void updateRanges(std::vector<Range>& ranges, uint64_t& version) {
  std::lock_guard<std::mutex> lock(memory().mutex);
  if (version == memory().version) return;
  version = memory().version;
  ranges.clear();
  for (const auto& [given, allocation] : memory().allocations)
    ranges.push_back({reinterpret_cast<uintptr_t>(allocation.behind), allocation.bytes, allocation.records, false});
  std::sort(ranges.begin(), ranges.end(), [](const Range& a, const Range& b) { return a.begin < b.begin; });
}

int lostDevice() {
  const Context* context = current().get();
  return context != nullptr ? context->failure.load() : kCudaSuccess;
}

int currentDevice() {
  const Context* context = current().get();
  return context != nullptr ? context->device : -1;
}

}  // namespace gpu_double

using namespace gpu_double;

extern "C" {

int cuInit(unsigned) { return kCudaSuccess; }

int cuDriverGetVersion(int* version) {
  const char* asked = std::getenv("TROUPE_DOUBLE_DRIVER");
  *version = asked != nullptr ? std::atoi(asked) : 13000;
  return kCudaSuccess;
}

int cuDeviceGetCount(int* count) {
  *count = static_cast<int>(visibleDevices().size());
  return kCudaSuccess;
}

int cuDeviceGet(int* device, int ordinal) {
  const auto devices = visibleDevices();
  if (ordinal < 0 || static_cast<size_t>(ordinal) >= devices.size()) return kCudaInvalidDevice;
  *device = devices[static_cast<size_t>(ordinal)];
  return kCudaSuccess;
}

int cuDeviceGetName(char* name, int length, int device) {
  std::snprintf(name, static_cast<size_t>(length), "test double %d", device);
  return kCudaSuccess;
}

int cuDevicePrimaryCtxRetain(void** context, int device) {
  static std::mutex mutex;
  static auto* const contexts = new std::map<int, Context>;
  std::lock_guard<std::mutex> lock(mutex);
  auto& own = (*contexts)[device];
  own.device = device;
  *context = &own;
  return kCudaSuccess;
}

int cuCtxSetCurrent(void* context) {
  std::lock_guard<std::mutex> lock(current().mutex);
  current().contexts[std::this_thread::get_id()] = static_cast<Context*>(context);
  return kCudaSuccess;
}

int cuMemAlloc_v2(DevicePointer* pointer, size_t bytes) {
  const Context* context = current().get();
  if (context == nullptr || bytes == 0) return kCudaInvalidValue;
  if (const int lost = lostDevice(); lost != kCudaSuccess) return lost;
  std::lock_guard<std::mutex> lock(memory().mutex);
  size_t& used = memory().used[context->device];
  if (bytes > capacity() - std::min(capacity(), used)) return kCudaOutOfMemory;
  const int file = memfd_create("gpu-test-double", MFD_CLOEXEC);
  if (file < 0 || ftruncate(file, static_cast<off_t>(pagesOf(bytes))) != 0) return kCudaOutOfMemory;
  const auto reserve = [](size_t size) { return mmap(nullptr, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0); };
  void *around = reserve(pagesOf(bytes) + 2 * kGuard), *given = reserve(pagesOf(bytes)), *behind = MAP_FAILED;
  if (around != MAP_FAILED)
    behind = mmap(static_cast<uint8_t*>(around) + kGuard, pagesOf(bytes), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file, 0);
  close(file);
  if (behind == MAP_FAILED || given == MAP_FAILED) return kCudaOutOfMemory;
  std::memset(behind, 0xa5, bytes);  // what was there before
  memory().allocations[reinterpret_cast<uintptr_t>(given)] = {bytes, static_cast<uint8_t*>(behind), context->device, makeRecords(bytes)};
  used += bytes;
  memory().version++;
  *pointer = reinterpret_cast<DevicePointer>(given);
  return kCudaSuccess;
}

int cuMemFree_v2(DevicePointer pointer) {
  std::lock_guard<std::mutex> lock(memory().mutex);
  const auto found = memory().allocations.find(static_cast<uintptr_t>(pointer));
  if (found == memory().allocations.end()) return kCudaInvalidValue;
  const auto& [bytes, behind, device, records] = found->second;
  munmap(behind - kGuard, pagesOf(bytes) + 2 * kGuard);
  munmap(reinterpret_cast<void*>(pointer), pagesOf(bytes));
  dropRecords(records, bytes);
  memory().used[device] -= bytes;
  memory().allocations.erase(found);
  memory().version++;
  return kCudaSuccess;
}

int cuMemGetInfo_v2(size_t* free, size_t* total) {
  const Context* context = current().get();
  if (context == nullptr) return kCudaInvalidValue;
  std::lock_guard<std::mutex> lock(memory().mutex);
  *total = capacity();
  *free = capacity() - std::min(capacity(), memory().used[context->device]);
  return lostDevice();
}

int cuMemcpyHtoDAsync_v2(DevicePointer to, const void* from, size_t bytes, void* stream) {
  return copy(
      stream, [=] { return bytesBehind(reinterpret_cast<void*>(to), bytes); }, [=] { return static_cast<const uint8_t*>(from); }, bytes);
}

int cuMemcpyDtoHAsync_v2(void* to, DevicePointer from, size_t bytes, void* stream) {
  return copy(
      stream, [=] { return static_cast<uint8_t*>(to); }, [=] { return bytesBehind(reinterpret_cast<void*>(from), bytes); }, bytes);
}

int cuMemcpyDtoDAsync_v2(DevicePointer to, DevicePointer from, size_t bytes, void* stream) {
  return copy(
      stream, [=] { return bytesBehind(reinterpret_cast<void*>(to), bytes); },
      [=] { return bytesBehind(reinterpret_cast<void*>(from), bytes); }, bytes);
}

int cuMemsetD8Async(DevicePointer to, unsigned char value, size_t bytes, void* stream) {
  enqueue(stream, [=] {
    uint8_t* target = bytesBehind(reinterpret_cast<void*>(to), bytes);
    if (target == nullptr) return kCudaLaunchFailed;
    std::memset(target, value, bytes);
    return kCudaSuccess;
  });
  return kCudaSuccess;
}

int cuStreamCreate(void** stream, unsigned) {
  if (current().get() == nullptr) return kCudaInvalidValue;
  *stream = new Stream(current().get());
  return kCudaSuccess;
}

int cuStreamDestroy_v2(void* stream) {
  delete static_cast<Stream*>(stream);
  return kCudaSuccess;
}

int cuEventCreate(void** event, unsigned) {
  *event = new std::shared_ptr<Event>(new Event);
  return kCudaSuccess;
}

int cuEventRecord(void* event, void* stream) {
  const auto recorded = *static_cast<std::shared_ptr<Event>*>(event);
  auto* on = static_cast<Stream*>(stream);
  std::lock_guard<std::mutex> lock(recorded->mutex);
  recorded->state = kCudaNotReady;
  on->enqueue([recorded, on, recording = ++recorded->recordings] {
    std::lock_guard<std::mutex> own(recorded->mutex);
    if (recording == recorded->recordings) recorded->state = on->failure();
    return kCudaSuccess;
  });
  return kCudaSuccess;
}

int cuEventQuery(void* event) {
  auto& queried = **static_cast<std::shared_ptr<Event>*>(event);
  std::lock_guard<std::mutex> lock(queried.mutex);
  return queried.state;
}

int cuEventDestroy_v2(void* event) {
  delete static_cast<std::shared_ptr<Event>*>(event);
  return kCudaSuccess;
}

int cuGetErrorName(int error, const char** name) {
  switch (error) {
    case kCudaInvalidValue: *name = "CUDA_ERROR_INVALID_VALUE"; break;
    case kCudaOutOfMemory: *name = "CUDA_ERROR_OUT_OF_MEMORY"; break;
    case kCudaInvalidImage: *name = "CUDA_ERROR_INVALID_IMAGE"; break;
    case kCudaNotFound: *name = "CUDA_ERROR_NOT_FOUND"; break;
    case kCudaIllegalAddress: *name = "CUDA_ERROR_ILLEGAL_ADDRESS"; break;
    case kCudaMisalignedAddress: *name = "CUDA_ERROR_MISALIGNED_ADDRESS"; break;
    case kCudaInvalidDevice: *name = "CUDA_ERROR_INVALID_DEVICE"; break;
    case kCudaLaunchFailed: *name = "CUDA_ERROR_LAUNCH_FAILED"; break;
    default: *name = "CUDA_ERROR_UNKNOWN";
  }
  return kCudaSuccess;
}

int cuGetErrorString(int, const char** text) {
  *text = "said by the test double";
  return kCudaSuccess;
}

}  // extern "C"
