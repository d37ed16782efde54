#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>

#include "kernel/kernels.h"

namespace troupe::kernel {

const Kernels* kernelsNamed(const char* name) {
  if (std::strcmp(name, "portable") == 0) return portableKernels();
#ifdef TROUPE_X86
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
  if (std::strcmp(name, "avx2") == 0 && avx2) return avx2Kernels();
  if (std::strcmp(name, "avxvnni") == 0 && avx2 && __builtin_cpu_supports("avxvnni")) return avxvnniKernels();
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni");
  if (std::strcmp(name, "avx512") == 0 && avx512) return avx512Kernels();
#endif
  return nullptr;
}

static const Kernels& choose() {
  if (const char* wanted = std::getenv("TROUPE_CPU")) {
    if (const Kernels* found = kernelsNamed(wanted)) return *found;
    throw std::runtime_error(std::string("TROUPE_CPU=") + wanted + ": this CPU has no such kernels; use portable, avx2, avxvnni or avx512");
  }
  for (const char* name : {"avx512", "avxvnni", "avx2"}) {
    if (const Kernels* found = kernelsNamed(name)) return *found;
  }
  return *portableKernels();
}

const Kernels& kernels() {
  static const Kernels& chosen = choose();
  return chosen;
}

}  // namespace troupe::kernel
