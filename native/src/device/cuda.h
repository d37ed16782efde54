#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>

namespace troupe::cuda {

/// A failure of the CUDA driver, in its own words.
class CudaError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The parts of the CUDA driver's interface that are used, under its own names and types: "CUDA Driver API" by NVIDIA,
/// https://docs.nvidia.com/cuda/cuda-driver-api. Declared here so that building needs no CUDA.
using DevicePointer = unsigned long long;
using ContextHandle = struct CUctx_st*;
using StreamHandle = struct CUstream_st*;
using EventHandle = struct CUevent_st*;
using ModuleHandle = struct CUmod_st*;
using FunctionHandle = struct CUfunc_st*;

struct Driver {
  int (*cuInit)(unsigned flags);
  int (*cuDriverGetVersion)(int* version);
  int (*cuDeviceGetCount)(int* count);
  int (*cuDeviceGet)(int* device, int ordinal);
  int (*cuDeviceGetName)(char* name, int length, int device);
  int (*cuDevicePrimaryCtxRetain)(ContextHandle* context, int device);
  int (*cuCtxSetCurrent)(ContextHandle context);
  int (*cuMemAlloc_v2)(DevicePointer* memory, size_t bytes);
  int (*cuMemFree_v2)(DevicePointer memory);
  int (*cuMemcpyHtoDAsync_v2)(DevicePointer to, const void* from, size_t bytes, StreamHandle stream);
  int (*cuMemcpyDtoHAsync_v2)(void* to, DevicePointer from, size_t bytes, StreamHandle stream);
  int (*cuMemcpyDtoDAsync_v2)(DevicePointer to, DevicePointer from, size_t bytes, StreamHandle stream);
  int (*cuMemsetD8Async)(DevicePointer to, unsigned char value, size_t bytes, StreamHandle stream);
  int (*cuStreamCreate)(StreamHandle* stream, unsigned flags);
  int (*cuStreamDestroy_v2)(StreamHandle stream);
  int (*cuEventCreate)(EventHandle* event, unsigned flags);
  int (*cuEventRecord)(EventHandle event, StreamHandle stream);
  int (*cuEventQuery)(EventHandle event);
  int (*cuEventDestroy_v2)(EventHandle event);
  int (*cuDeviceGetAttribute)(int* value, int attribute, int device);
  int (*cuMemGetInfo_v2)(size_t* free, size_t* total);
  int (*cuModuleLoadDataEx)(ModuleHandle* module, const void* image, unsigned options, int* names, void** values);
  int (*cuModuleUnload)(ModuleHandle module);
  int (*cuModuleGetFunction)(FunctionHandle* function, ModuleHandle module, const char* name);
  int (*cuFuncSetAttribute)(FunctionHandle function, int attribute, int value);
  int (*cuLaunchKernel)(FunctionHandle function, unsigned gridX, unsigned gridY, unsigned gridZ, unsigned blockX, unsigned blockY,
                        unsigned blockZ, unsigned sharedBytes, StreamHandle stream, void** parameters, void** extra);
  int (*cuGetErrorName)(int error, const char** name);
  int (*cuGetErrorString)(int error, const char** text);

  /// Of the driver, e.g. 13000 for CUDA 13.0.
  int version = 0;

  /// The driver: the library that TROUPE_CUDA names, else libcuda.so.1 where the loader finds it. Opened and initialised
  /// at the first call, so that CUDA_VISIBLE_DEVICES may be set before. Throws CudaError.
  static const Driver& get();

  /// Throws CudaError with the driver's own text unless `result` is success.
  void check(int result, const char* call) const;
};

/// The GPUs that this process may use: as many as CUDA_VISIBLE_DEVICES names. Throws CudaError.
int deviceCount();

/// One GPU, by its number among those that this process may use. Its primary context is kept, which libraries on top of
/// the CUDA runtime use too.
class Gpu {
 public:
  /// Throws CudaError if there is no such GPU.
  static std::shared_ptr<Gpu> open(int index);

  int index() const { return index_; }
  const std::string& name() const { return name_; }
  /// Its compute capability, e.g. 90 for 9.0.
  int architecture() const { return architecture_; }
  int multiprocessors() const { return multiprocessors_; }
  /// Bytes of shared memory that a block may ask for.
  size_t mostSharedBytes() const { return mostSharedBytes_; }
  /// Makes it the one that driver calls of this thread are about.
  void use() const;

 private:
  Gpu(int index, ContextHandle context, std::string name) : index_(index), context_(context), name_(std::move(name)) {}

  int attribute(int device, int which) const;

  const int index_;
  const ContextHandle context_;
  const std::string name_;
  int architecture_ = 0, multiprocessors_ = 0;
  size_t mostSharedBytes_ = 0;
};

/// Work of a GPU that is done in order.
class Stream {
 public:
  explicit Stream(std::shared_ptr<Gpu> gpu);
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  /// The one that a GPU's memory is cleared and copied on.
  static Stream& forCopies(const std::shared_ptr<Gpu>& gpu);

  StreamHandle handle() const { return stream_; }
  const std::shared_ptr<Gpu>& gpu() const { return gpu_; }

  void copyToDevice(DevicePointer to, const void* from, size_t bytes);
  void copyToHost(void* to, DevicePointer from, size_t bytes);
  void copyOnDevice(DevicePointer to, DevicePointer from, size_t bytes);
  void clear(DevicePointer to, size_t bytes);

 private:
  const std::shared_ptr<Gpu> gpu_;
  StreamHandle stream_ = nullptr;
};

/// The end of what a stream was given up to some point, which can be asked for without waiting.
class Event {
 public:
  explicit Event(const std::shared_ptr<Gpu>& gpu);
  ~Event();
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  void record(const Stream& stream);
  /// Throws CudaError if something of it failed.
  bool done() const;
  /// Sleeps until it is done, waking up now and then.
  void wait() const;

 private:
  EventHandle event_ = nullptr;
};

/// Memory of a GPU.
class DeviceMemory {
 public:
  /// Zeroed. Throws CudaError, when it is full for example.
  DeviceMemory(std::shared_ptr<Gpu> gpu, size_t bytes);
  ~DeviceMemory();
  DeviceMemory(const DeviceMemory&) = delete;
  DeviceMemory& operator=(const DeviceMemory&) = delete;

  DevicePointer pointer() const { return pointer_; }
  const std::shared_ptr<Gpu>& gpu() const { return gpu_; }

 private:
  const std::shared_ptr<Gpu> gpu_;
  DevicePointer pointer_ = 0;
};

/// Where some bytes are: on a GPU, or in host memory if it is null.
struct Place {
  uint8_t* data;
  std::shared_ptr<Gpu> gpu;
};

/// Copies `bytes` bytes, of which at least one side is on a GPU, and returns when that is done.
void copy(const Place& from, const Place& to, size_t bytes);

/// How long to sleep before looking again at something that has taken `elapsed` so far: the shorter it has taken the
/// sooner, so that looking adds little to it, and costs at most a thousand looks a second.
std::chrono::microseconds napAfter(std::chrono::steady_clock::duration elapsed);

}  // namespace troupe::cuda
