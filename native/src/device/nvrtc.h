#pragma once

#include <map>
#include <string>
#include <vector>

namespace troupe::cuda {

/// CUDA C++ and how to compile it.
struct Source {
  std::string name;  // for what compilers say of it, such as linear.cu
  std::string text;
  std::map<std::string, std::string> headers;  // by the names by which it includes them
  std::vector<std::string> definitions;        // of macros, such as "kWidth=4"
};

/// Compiles a source for one architecture, such as 90 for compute capability 9.0, with NVIDIA's runtime compiler: the library that
/// TROUPE_NVRTC names, else libnvrtc.so.13 or libnvrtc.so.12 where the loader finds it, the latter alone where the driver is for CUDA 12.
/// Returns a cubin. Throws CudaError: with the compiler's first error if there is one.
std::string compile(const Source& source, int architecture);

/// The version of the compiler, such as 13000. Throws CudaError where there is none.
int compilerVersion();

}  // namespace troupe::cuda
