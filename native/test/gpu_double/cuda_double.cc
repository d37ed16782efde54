// A test double of the CUDA driver: "GPUs" whose memory is this process's and whose streams are threads. It implements what
// native/src/device/cuda.h declares and nothing else; nothing of it is part of what users run.
//
// TROUPE_DOUBLE_GPUS: how many GPUs the machine pretends to have (8). CUDA_VISIBLE_DEVICES chooses among them.
#include "cuda_double.h"

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
};

struct Memory {
  std::mutex mutex;
  std::map<uintptr_t, Allocation> allocations;
};

Memory& memory() {
  static auto* const all = new Memory;
  return *all;
}

size_t pagesOf(size_t bytes) { return (bytes + 4095) / 4096 * 4096; }

struct Event {
  std::mutex mutex;
  int state = gpu_double::kCudaSuccess;
  int recordings = 0;  // of which the last one counts
};

class Stream {
 public:
  Stream() : thread_([this] { loop(); }) {}
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
      if (const int result = work(); result != gpu_double::kCudaSuccess) failure_ = result;
    }
  }

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

int currentDevice() {
  const Context* context = current().get();
  return context != nullptr ? context->device : -1;
}

}  // namespace gpu_double

using namespace gpu_double;

extern "C" {

int cuInit(unsigned) { return kCudaSuccess; }

int cuDriverGetVersion(int* version) {
  *version = 12040;
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
  *context = &contexts->emplace(device, Context{device}).first->second;
  return kCudaSuccess;
}

int cuCtxSetCurrent(void* context) {
  std::lock_guard<std::mutex> lock(current().mutex);
  current().contexts[std::this_thread::get_id()] = static_cast<Context*>(context);
  return kCudaSuccess;
}

int cuMemAlloc_v2(DevicePointer* pointer, size_t bytes) {
  if (current().get() == nullptr || bytes == 0) return kCudaInvalidValue;
  const int file = memfd_create("gpu-test-double", MFD_CLOEXEC);
  if (file < 0 || ftruncate(file, static_cast<off_t>(pagesOf(bytes))) != 0) return kCudaOutOfMemory;
  void* behind = mmap(nullptr, pagesOf(bytes), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  void* given = mmap(nullptr, pagesOf(bytes), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  close(file);
  if (behind == MAP_FAILED || given == MAP_FAILED) return kCudaOutOfMemory;
  std::memset(behind, 0xa5, bytes);  // what was there before
  std::lock_guard<std::mutex> lock(memory().mutex);
  memory().allocations[reinterpret_cast<uintptr_t>(given)] = {bytes, static_cast<uint8_t*>(behind)};
  *pointer = reinterpret_cast<DevicePointer>(given);
  return kCudaSuccess;
}

int cuMemFree_v2(DevicePointer pointer) {
  std::lock_guard<std::mutex> lock(memory().mutex);
  const auto found = memory().allocations.find(static_cast<uintptr_t>(pointer));
  if (found == memory().allocations.end()) return kCudaInvalidValue;
  munmap(found->second.behind, pagesOf(found->second.bytes));
  munmap(reinterpret_cast<void*>(pointer), pagesOf(found->second.bytes));
  memory().allocations.erase(found);
  return kCudaSuccess;
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
  *stream = new Stream;
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
