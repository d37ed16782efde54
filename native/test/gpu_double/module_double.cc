// The driver's calls about modules and kernels. A "cubin" is what nvrtc_double.cc has made: a head and a shared object.
#include <cstring>
#include <dlfcn.h>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <sys/mman.h>
#include <unistd.h>
#include <vector>

#include "cubin.h"
#include "cuda_double.h"
#include "execution.h"

namespace gpu_double {
namespace {

struct Module;

struct Function {
  Module* module;
  std::string name;
  void (*kernel)(void** parameters);
  std::vector<size_t> parameterBytes;
  size_t mostDynamic = 48 << 10;  // until more is asked for
};

struct Module {
  void* handle = nullptr;
  CompiledModule compiled{};
  std::map<std::string, std::unique_ptr<Function>> functions;
};

template <class Symbol>
bool find(void* handle, const char* name, Symbol& symbol) {
  symbol = reinterpret_cast<Symbol>(dlsym(handle, name));
  return symbol != nullptr;
}

constexpr int kDynamicSharedAttribute = 8;

}  // namespace
}  // namespace gpu_double

using namespace gpu_double;

extern "C" {

int cuModuleLoadDataEx(void** module, const void* image, unsigned, int*, void**) {
  if (currentDevice() < 0) return kCudaInvalidValue;
  if (const int lost = lostDevice(); lost != kCudaSuccess) return lost;
  CubinHead head;
  std::memcpy(&head, image, sizeof head);
  if (std::memcmp(head.magic, kCubinMagic, sizeof head.magic) != 0) return kCudaInvalidImage;
  // The file stays open: its name, by which the loader knows it, must not become another's.
  const int file = memfd_create("gpu-test-double-module", MFD_CLOEXEC);
  if (file < 0 || write(file, static_cast<const char*>(image) + sizeof head, head.bytes) != static_cast<ssize_t>(head.bytes))
    return kCudaOutOfMemory;
  auto loaded = std::make_unique<Module>();
  loaded->handle = dlopen(("/proc/" + std::to_string(getpid()) + "/fd/" + std::to_string(file)).c_str(), RTLD_NOW | RTLD_LOCAL);
  if (loaded->handle == nullptr || !find(loaded->handle, "gpu_double_attach", loaded->compiled.attach) ||
      !find(loaded->handle, "gpu_double_anchor", loaded->compiled.anchor)) {
    std::fprintf(stderr, "gpu double: %s\n", dlerror());
    return kCudaInvalidImage;
  }
  find(loaded->handle, "gpu_double_dynamic", loaded->compiled.dynamic);
  *module = loaded.release();
  return kCudaSuccess;
}

// What it has loaded stays, as kernels may still be in streams.
int cuModuleUnload(void*) { return kCudaSuccess; }

int cuModuleGetFunction(void** function, void* module, const char* name) {
  static std::mutex mutex;
  std::lock_guard<std::mutex> lock(mutex);
  auto& in = *static_cast<Module*>(module);
  auto& found = in.functions[name];
  if (!found) {
    auto made = std::make_unique<Function>();
    made->module = &in;
    made->name = name;
    const size_t* (*parameters)(size_t*) = nullptr;
    if (!find(in.handle, ("gpu_double_kernel_" + made->name).c_str(), made->kernel) ||
        !find(in.handle, ("gpu_double_parameters_" + made->name).c_str(), parameters))
      return kCudaNotFound;
    size_t count = 0;
    const size_t* bytes = parameters(&count);
    made->parameterBytes.assign(bytes, bytes + count);
    found = std::move(made);
  }
  *function = found.get();
  return kCudaSuccess;
}

int cuFuncSetAttribute(void* function, int attribute, int value) {
  if (attribute != kDynamicSharedAttribute || value < 0 || static_cast<size_t>(value) > kMostShared) return kCudaInvalidValue;
  static_cast<Function*>(function)->mostDynamic = static_cast<size_t>(value);
  return kCudaSuccess;
}

int cuLaunchKernel(void* function, unsigned gridX, unsigned gridY, unsigned gridZ, unsigned blockX, unsigned blockY, unsigned blockZ,
                   unsigned sharedBytes, void* stream, void** parameters, void** extra) {
  if (const int lost = lostDevice(); lost != kCudaSuccess) return lost;
  auto* launched = static_cast<Function*>(function);
  const bool isGrid = gridX > 0 && gridY > 0 && gridZ > 0 && gridX <= 2147483647u && gridY <= 65535 && gridZ <= 65535;
  const bool isBlock = blockX > 0 && blockY > 0 && blockZ > 0 && size_t{blockX} * blockY * blockZ <= 1024;
  if (!isGrid || !isBlock || sharedBytes > launched->mostDynamic || extra != nullptr || stream == nullptr) return kCudaInvalidValue;
  // Parameters are copied before the call returns.
  std::vector<std::vector<uint8_t>> copies;
  for (size_t i = 0; i < launched->parameterBytes.size(); i++) {
    const auto* from = static_cast<const uint8_t*>(parameters[i]);
    copies.emplace_back(from, from + launched->parameterBytes[i]);
  }
  enqueueKernel(stream, [=]() mutable {
    std::vector<void*> pointers;
    for (auto& copy : copies) pointers.push_back(copy.data());
    return execute(launched->module->compiled,
                   {launched->name, launched->kernel, pointers.data(), {gridX, gridY, gridZ}, {blockX, blockY, blockZ}, sharedBytes});
  });
  return kCudaSuccess;
}

int cuDeviceGetAttribute(int* value, int attribute, int) {
  switch (attribute) {
    case 8: *value = 48 << 10; break;                        // shared memory of a block
    case 16: *value = 4; break;                              // multiprocessors
    case 75: *value = 9; break;                              // compute capability, major
    case 76: *value = 0; break;                              // and minor
    case 97: *value = static_cast<int>(kMostShared); break;  // shared memory that a block may ask for
    default: return kCudaInvalidValue;
  }
  return kCudaSuccess;
}

int cuMemAllocHost_v2(void** memory, size_t bytes) {
  if (currentDevice() < 0) return kCudaInvalidValue;
  *memory = aligned_alloc(64, (bytes + 63) / 64 * 64);
  return *memory != nullptr ? kCudaSuccess : kCudaOutOfMemory;
}

int cuMemFreeHost(void* memory) {
  free(memory);
  return kCudaSuccess;
}

}  // extern "C"
