#pragma once

// Kernels on a GPU: the test double's, which executes them on the CPU and checks their accesses to memory. TROUPE_TEST_GPUS=1 takes a
// real GPU and leaves out what only the double can be asked.
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "check.h"
#include "device/module.h"
#include "gpu_ranks.h"

namespace troupe::cuda {

/// The folder of a test, which goes with it.
struct TestFolder {
  TestFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "troupe-test-XXXXXX").string();
    CHECK(mkdtemp(name.data()) != nullptr);
    path = name;
  }
  ~TestFolder() { std::filesystem::remove_all(path); }
  TestFolder(const TestFolder&) = delete;
  TestFolder& operator=(const TestFolder&) = delete;

  std::string path;
};

/// A GPU for tests of kernels. Number 0 is the one of all tests whose kernels are right; a kernel that fails needs one of its own, as it
/// takes it out of use.
inline std::shared_ptr<Gpu> testGpu(int number = 0) {
  collective::openDouble();
  if (!collective::usesRealGpus()) setenv("TROUPE_NVRTC", TROUPE_GPU_DOUBLE, 1);
  if (number == 0) return Gpu::open(0);
  const char* before = std::getenv("TROUPE_DOUBLE_GPUS");
  const std::string kept = before != nullptr ? before : "";
  setenv("TROUPE_DOUBLE_GPUS", "64", 1);
  auto gpu = Gpu::open(15 + number);
  if (before != nullptr)
    setenv("TROUPE_DOUBLE_GPUS", kept.c_str(), 1);
  else
    unsetenv("TROUPE_DOUBLE_GPUS");
  return gpu;
}

/// Nothing that is kept from one process to the next.
inline CubinCache noCache() { return CubinCache(std::string()); }

inline std::shared_ptr<Module> moduleOf(const std::shared_ptr<Gpu>& gpu, const Source& source) {
  return std::make_shared<Module>(gpu, source, noCache());
}

/// Waits for all that a stream was given.
inline void finish(const Stream& stream) {
  Event event(stream.gpu());
  event.record(stream);
  event.wait();
}

/// Elements on a GPU.
template <class T>
class GpuVector {
 public:
  GpuVector(const std::shared_ptr<Gpu>& gpu, const std::vector<T>& elements) : count_(elements.size()), memory_(gpu, count_ * sizeof(T)) {
    if (count_ > 0) copy({const_cast<uint8_t*>(reinterpret_cast<const uint8_t*>(elements.data())), nullptr}, place(), count_ * sizeof(T));
  }
  T* data() const { return reinterpret_cast<T*>(memory_.pointer()); }
  std::vector<T> read() const {
    std::vector<T> elements(count_);
    if (count_ > 0) copy(place(), {reinterpret_cast<uint8_t*>(elements.data()), nullptr}, count_ * sizeof(T));
    return elements;
  }

 private:
  Place place() const { return {reinterpret_cast<uint8_t*>(memory_.pointer()), memory_.gpu()}; }

  size_t count_;
  DeviceMemory memory_;
};

}  // namespace troupe::cuda
