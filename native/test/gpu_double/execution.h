#pragma once

#include <cstddef>
#include <string>

#include "device/interface.h"

namespace gpu_double {

/// What the double's compiler made of a kernel's source: the symbols that runtime.h adds to it.
struct CompiledModule {
  void (*attach)(Here* here);
  void* (*anchor)();
  void* (*dynamic)();  // where dynamic shared memory begins, or null
};

struct Launch {
  std::string name;  // of the kernel, for what is said of it
  void (*kernel)(void** parameters);
  void** parameters;
  Index grid, block;
  size_t dynamicBytes;
};

/// Executes a kernel, block after block. Gives the driver's error: 0, or what the first fault found amounts to, of which standard error
/// tells. One thread of the host at a time.
int execute(const CompiledModule& module, const Launch& launch);

}  // namespace gpu_double
