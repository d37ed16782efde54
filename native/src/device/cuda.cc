#include "device/cuda.h"

#include <algorithm>
#include <map>
#include <mutex>
#include <thread>

#include "device/library.h"
#include "memory/quietly.h"

namespace troupe::cuda {
namespace {

constexpr int kSuccess = 0, kOutOfMemory = 2, kNotReady = 600;
constexpr int kOldestDriver = 12000;
constexpr int kMultiprocessors = 16, kCapabilityMajor = 75, kCapabilityMinor = 76, kMostSharedBytes = 97;  // attributes
constexpr unsigned kStreamNonBlocking = 1, kEventDisableTiming = 2;

/// Whether an error stays, of every later call too: a kernel has failed, or the GPU has.
bool isLost(int result) { return result == 214 || result == 220 || (result >= 700 && result <= 702) || (result >= 714 && result <= 719); }

Driver load() {
  Driver driver{};
  try {
    const Library library("TROUPE_CUDA", "libcuda.so.1");
#define TROUPE_FIND(name) library.find(driver.name, #name)
    TROUPE_FIND(cuInit);
    TROUPE_FIND(cuDriverGetVersion);
    TROUPE_FIND(cuDeviceGetCount);
    TROUPE_FIND(cuDeviceGet);
    TROUPE_FIND(cuDeviceGetName);
    TROUPE_FIND(cuDevicePrimaryCtxRetain);
    TROUPE_FIND(cuCtxSetCurrent);
    TROUPE_FIND(cuMemAlloc_v2);
    TROUPE_FIND(cuMemFree_v2);
    TROUPE_FIND(cuMemcpyHtoDAsync_v2);
    TROUPE_FIND(cuMemcpyDtoHAsync_v2);
    TROUPE_FIND(cuMemcpyDtoDAsync_v2);
    TROUPE_FIND(cuMemsetD8Async);
    TROUPE_FIND(cuStreamCreate);
    TROUPE_FIND(cuStreamDestroy_v2);
    TROUPE_FIND(cuEventCreate);
    TROUPE_FIND(cuEventRecord);
    TROUPE_FIND(cuEventQuery);
    TROUPE_FIND(cuEventDestroy_v2);
    TROUPE_FIND(cuDeviceGetAttribute);
    TROUPE_FIND(cuMemGetInfo_v2);
    TROUPE_FIND(cuModuleLoadDataEx);
    TROUPE_FIND(cuModuleUnload);
    TROUPE_FIND(cuModuleGetFunction);
    TROUPE_FIND(cuFuncSetAttribute);
    TROUPE_FIND(cuLaunchKernel);
    TROUPE_FIND(cuGetErrorName);
    TROUPE_FIND(cuGetErrorString);
#undef TROUPE_FIND
  } catch (const std::exception& error) {
    throw CudaError(std::string("tensors on a GPU need NVIDIA's driver: ") + error.what());
  }
  driver.check(driver.cuInit(0), "cuInit");
  driver.check(driver.cuDriverGetVersion(&driver.version), "cuDriverGetVersion");
  if (driver.version < kOldestDriver) {
    throw CudaError("tensors on a GPU need a driver for CUDA 12.0 or later; this one is for CUDA " + std::to_string(driver.version / 1000) +
                    "." + std::to_string(driver.version % 1000 / 10) + ": install a newer driver of NVIDIA's");
  }
  return driver;
}

}  // namespace

// A failure is not kept: the next call tries again.
const Driver& Driver::get() {
  static const Driver driver = load();
  return driver;
}

void Driver::check(int result, const char* call) const {
  if (result == kSuccess) return;
  const char *name = nullptr, *text = nullptr;
  cuGetErrorName(result, &name);
  cuGetErrorString(result, &text);
  throw CudaError(std::string("CUDA: ") + call + " failed with " + (name != nullptr ? name : std::to_string(result)) +
                  (text != nullptr ? std::string(": ") + text : "") +
                  (isLost(result) ? "; a kernel has failed, and this process cannot use the GPU any more: start its actor anew" : ""));
}

int deviceCount() {
  const Driver& driver = Driver::get();
  int count = 0;
  driver.check(driver.cuDeviceGetCount(&count), "cuDeviceGetCount");
  return count;
}

std::shared_ptr<Gpu> Gpu::open(int index) {
  static auto* const opened = new std::map<int, std::shared_ptr<Gpu>>;  // as long as the process lives
  static std::mutex mutex;
  const Driver& driver = Driver::get();
  const int count = deviceCount();
  if (index < 0 || index >= count) {
    const char* visible = std::getenv("CUDA_VISIBLE_DEVICES");
    throw CudaError("there is no cuda:" + std::to_string(index) + "; this process may use " + std::to_string(count) + " GPUs" +
                    (visible != nullptr ? std::string(" (CUDA_VISIBLE_DEVICES=") + visible + ")" : ""));
  }
  std::lock_guard<std::mutex> lock(mutex);
  auto& gpu = (*opened)[index];
  if (gpu) return gpu;
  int device = 0;
  char name[256] = {};
  ContextHandle context = nullptr;
  driver.check(driver.cuDeviceGet(&device, index), "cuDeviceGet");
  driver.check(driver.cuDeviceGetName(name, sizeof name - 1, device), "cuDeviceGetName");
  driver.check(driver.cuDevicePrimaryCtxRetain(&context, device), "cuDevicePrimaryCtxRetain");
  auto found = std::shared_ptr<Gpu>(new Gpu(index, context, name));
  found->architecture_ = 10 * found->attribute(device, kCapabilityMajor) + found->attribute(device, kCapabilityMinor);
  found->multiprocessors_ = found->attribute(device, kMultiprocessors);
  found->mostSharedBytes_ = static_cast<size_t>(found->attribute(device, kMostSharedBytes));
  return gpu = found;
}

int Gpu::attribute(int device, int which) const {
  int value = 0;
  Driver::get().check(Driver::get().cuDeviceGetAttribute(&value, which, device), "cuDeviceGetAttribute");
  return value;
}

void Gpu::use() const { Driver::get().check(Driver::get().cuCtxSetCurrent(context_), "cuCtxSetCurrent"); }

Stream::Stream(std::shared_ptr<Gpu> gpu) : gpu_(std::move(gpu)) {
  gpu_->use();
  Driver::get().check(Driver::get().cuStreamCreate(&stream_, kStreamNonBlocking), "cuStreamCreate");
}

Stream::~Stream() {
  quietly([&] { Driver::get().cuStreamDestroy_v2(stream_); });
}

Stream& Stream::forCopies(const std::shared_ptr<Gpu>& gpu) {
  static auto* const streams = new std::map<int, std::unique_ptr<Stream>>;  // as long as the process lives
  static std::mutex mutex;
  std::lock_guard<std::mutex> lock(mutex);
  auto& stream = (*streams)[gpu->index()];
  if (!stream) stream = std::make_unique<Stream>(gpu);
  return *stream;
}

void Stream::copyToDevice(DevicePointer to, const void* from, size_t bytes) {
  const Driver& driver = Driver::get();
  gpu_->use();
  if (bytes > 0) driver.check(driver.cuMemcpyHtoDAsync_v2(to, from, bytes, stream_), "cuMemcpyHtoDAsync");
}

void Stream::copyToHost(void* to, DevicePointer from, size_t bytes) {
  const Driver& driver = Driver::get();
  gpu_->use();
  if (bytes > 0) driver.check(driver.cuMemcpyDtoHAsync_v2(to, from, bytes, stream_), "cuMemcpyDtoHAsync");
}

void Stream::copyOnDevice(DevicePointer to, DevicePointer from, size_t bytes) {
  const Driver& driver = Driver::get();
  gpu_->use();
  if (bytes > 0 && to != from) driver.check(driver.cuMemcpyDtoDAsync_v2(to, from, bytes, stream_), "cuMemcpyDtoDAsync");
}

void Stream::clear(DevicePointer to, size_t bytes) {
  const Driver& driver = Driver::get();
  gpu_->use();
  if (bytes > 0) driver.check(driver.cuMemsetD8Async(to, 0, bytes, stream_), "cuMemsetD8Async");
}

Event::Event(const std::shared_ptr<Gpu>& gpu) {
  gpu->use();
  Driver::get().check(Driver::get().cuEventCreate(&event_, kEventDisableTiming), "cuEventCreate");
}

Event::~Event() {
  quietly([&] { Driver::get().cuEventDestroy_v2(event_); });
}

void Event::record(const Stream& stream) {
  stream.gpu()->use();
  Driver::get().check(Driver::get().cuEventRecord(event_, stream.handle()), "cuEventRecord");
}

bool Event::done() const {
  const int state = Driver::get().cuEventQuery(event_);
  if (state == kNotReady) return false;
  Driver::get().check(state, "cuEventQuery");
  return true;
}

void Event::wait() const {
  const auto began = std::chrono::steady_clock::now();
  while (!done()) std::this_thread::sleep_for(napAfter(std::chrono::steady_clock::now() - began));
}

DeviceMemory::DeviceMemory(std::shared_ptr<Gpu> gpu, size_t bytes) : gpu_(std::move(gpu)) {
  if (bytes == 0) return;
  gpu_->use();
  const Driver& driver = Driver::get();
  const int result = driver.cuMemAlloc_v2(&pointer_, bytes);
  if (size_t free = 0, total = 0; result == kOutOfMemory && driver.cuMemGetInfo_v2(&free, &total) == kSuccess) {
    throw CudaError("cuda:" + std::to_string(gpu_->index()) + " (" + gpu_->name() + ") is out of memory: asked for " +
                    std::to_string(bytes) + " bytes, of which " + std::to_string(free) + " of " + std::to_string(total) +
                    " are free; use a smaller model, cache or batch, or more GPUs");
  }
  driver.check(result, "cuMemAlloc");
  Stream& stream = Stream::forCopies(gpu_);
  Event cleared(gpu_);
  stream.clear(pointer_, bytes);
  cleared.record(stream);
  cleared.wait();
}

DeviceMemory::~DeviceMemory() {
  if (pointer_ == 0) return;
  quietly([&] {
    gpu_->use();  // fails where the driver has ended before this process's last tensor
    Driver::get().cuMemFree_v2(pointer_);
  });
}

void copy(const Place& from, const Place& to, size_t bytes) {
  const auto address = [](const Place& place) { return reinterpret_cast<DevicePointer>(place.data); };
  const auto& gpu = from.gpu ? from.gpu : to.gpu;
  Stream& stream = Stream::forCopies(gpu);
  Event copied(gpu);
  if (!from.gpu) {
    stream.copyToDevice(address(to), from.data, bytes);
  } else if (!to.gpu) {
    stream.copyToHost(to.data, address(from), bytes);
  } else {
    stream.copyOnDevice(address(to), address(from), bytes);
  }
  copied.record(stream);
  copied.wait();
}

std::chrono::microseconds napAfter(std::chrono::steady_clock::duration elapsed) {
  using std::chrono::microseconds;
  const auto part = std::chrono::duration_cast<microseconds>(elapsed) / 8;
  return std::clamp(part, microseconds(5), microseconds(1000));
}

}  // namespace troupe::cuda
