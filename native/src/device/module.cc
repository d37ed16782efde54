#include "device/module.h"

#include "memory/quietly.h"

namespace troupe::cuda {
namespace {

constexpr size_t kSharedBytesUnasked = size_t{48} << 10;
constexpr int kDynamicShared = 8;  // an attribute of functions

/// All that what is compiled depends on.
std::string keyOf(const Source& source, int architecture) {
  std::string key = "driver " + std::to_string(Driver::get().version) + " compiler " + std::to_string(compilerVersion()) + " sm_" +
                    std::to_string(architecture) + "\n";
  for (const auto& definition : source.definitions) key += definition + "\n";
  for (const auto& [name, text] : source.headers) key += name + "\n" + text;
  return key + source.name + "\n" + source.text;
}

}  // namespace

Module::Module(std::shared_ptr<Gpu> gpu, const Source& source, const CubinCache& cache) : gpu_(std::move(gpu)) {
  const Driver& driver = Driver::get();
  const int architecture = gpu_->architecture();
  const std::string cubin = cache.get(keyOf(source, architecture), [&] { return compile(source, architecture); });
  gpu_->use();
  driver.check(driver.cuModuleLoadDataEx(&module_, cubin.data(), 0, nullptr, nullptr), "cuModuleLoadDataEx");
}

Module::~Module() {
  quietly([&] {
    gpu_->use();
    Driver::get().cuModuleUnload(module_);
  });
}

Kernel::Kernel(std::shared_ptr<Module> module, const char* name, size_t dynamicBytes) : module_(std::move(module)), name_(name) {
  const Driver& driver = Driver::get();
  const Gpu& gpu = *module_->gpu();
  gpu.use();
  driver.check(driver.cuModuleGetFunction(&function_, module_->handle(), name), "cuModuleGetFunction");
  if (dynamicBytes <= kSharedBytesUnasked) return;
  if (dynamicBytes > gpu.mostSharedBytes()) {
    throw CudaError("kernel " + name_ + " needs " + std::to_string(dynamicBytes) + " bytes of shared memory; cuda:" +
                    std::to_string(gpu.index()) + " (" + gpu.name() + ") has " + std::to_string(gpu.mostSharedBytes()) + " for a block");
  }
  driver.check(driver.cuFuncSetAttribute(function_, kDynamicShared, static_cast<int>(dynamicBytes)), "cuFuncSetAttribute");
}

void Kernel::launchWith(const Stream& stream, Extent grid, Extent block, size_t dynamicBytes, void** parameters) const {
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;
  const Driver& driver = Driver::get();
  module_->gpu()->use();
  driver.check(driver.cuLaunchKernel(function_, grid.x, grid.y, grid.z, block.x, block.y, block.z, static_cast<unsigned>(dynamicBytes),
                                     stream.handle(), parameters, nullptr),
               ("launching kernel " + name_).c_str());
}

}  // namespace troupe::cuda
