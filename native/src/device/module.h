#pragma once

#include <memory>
#include <string>

#include "device/cubin_cache.h"
#include "device/cuda.h"
#include "device/nvrtc.h"

namespace troupe::cuda {

/// How many blocks a kernel is launched with, or how many threads a block has.
struct Extent {
  unsigned x = 1, y = 1, z = 1;
};

/// Kernels that were compiled for a GPU, and loaded there.
class Module {
 public:
  /// Compiles the source, unless the cache has it, for this GPU and driver. Throws CudaError.
  Module(std::shared_ptr<Gpu> gpu, const Source& source, const CubinCache& cache = CubinCache());
  ~Module();
  Module(const Module&) = delete;
  Module& operator=(const Module&) = delete;

  const std::shared_ptr<Gpu>& gpu() const { return gpu_; }
  ModuleHandle handle() const { return module_; }

 private:
  const std::shared_ptr<Gpu> gpu_;
  ModuleHandle module_ = nullptr;
};

/// One kernel of a module.
class Kernel {
 public:
  /// `dynamicBytes` is the most shared memory that a launch will ask for. Throws CudaError if there is no such kernel, or so much memory.
  Kernel(std::shared_ptr<Module> module, const char* name, size_t dynamicBytes = 0);

  /// Gives a launch to a stream of the module's GPU. `parameters` are of the types that the kernel declares, device addresses as pointers
  /// or DevicePointer. Nothing for an extent of 0. Throws CudaError.
  template <class... Parameters>
  void launch(const Stream& stream, Extent grid, Extent block, size_t dynamicBytes, Parameters... parameters) const {
    void* pointers[] = {&parameters..., nullptr};
    launchWith(stream, grid, block, dynamicBytes, pointers);
  }

 private:
  void launchWith(const Stream& stream, Extent grid, Extent block, size_t dynamicBytes, void** parameters) const;

  std::shared_ptr<Module> module_;
  std::string name_;
  FunctionHandle function_ = nullptr;
};

}  // namespace troupe::cuda
