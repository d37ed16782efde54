#include "device/nvrtc.h"

#include <sstream>
#include <stdexcept>

#include "device/cuda.h"
#include "device/library.h"

namespace troupe::cuda {
namespace {

/// The parts of NVRTC's interface that are used: "NVRTC" by NVIDIA, https://docs.nvidia.com/cuda/nvrtc. Declared here so that building
/// needs no CUDA.
using ProgramHandle = struct _nvrtcProgram*;

constexpr int kSuccess = 0;

struct Nvrtc {
  int (*nvrtcVersion)(int* major, int* minor);
  int (*nvrtcCreateProgram)(ProgramHandle* program, const char* source, const char* name, int headers, const char* const* texts,
                            const char* const* names);
  int (*nvrtcDestroyProgram)(ProgramHandle* program);
  int (*nvrtcCompileProgram)(ProgramHandle program, int count, const char* const* options);
  int (*nvrtcGetProgramLogSize)(ProgramHandle program, size_t* bytes);
  int (*nvrtcGetProgramLog)(ProgramHandle program, char* log);
  int (*nvrtcGetCUBINSize)(ProgramHandle program, size_t* bytes);
  int (*nvrtcGetCUBIN)(ProgramHandle program, char* cubin);
  const char* (*nvrtcGetErrorString)(int result);

  int version = 0;

  static const Nvrtc& get();
  void check(int result, const char* call) const {
    if (result != kSuccess) throw CudaError(std::string("NVRTC: ") + call + " failed with " + nvrtcGetErrorString(result));
  }
};

Nvrtc load() {
  Nvrtc nvrtc{};
  try {
    const bool isNew = Driver::get().version >= 13000;  // an older driver cannot load what a newer compiler makes
    const Library library =
        isNew ? Library("TROUPE_NVRTC", {"libnvrtc.so.13", "libnvrtc.so.12"}) : Library("TROUPE_NVRTC", "libnvrtc.so.12");
#define TROUPE_FIND(name) library.find(nvrtc.name, #name)
    TROUPE_FIND(nvrtcVersion);
    TROUPE_FIND(nvrtcCreateProgram);
    TROUPE_FIND(nvrtcDestroyProgram);
    TROUPE_FIND(nvrtcCompileProgram);
    TROUPE_FIND(nvrtcGetProgramLogSize);
    TROUPE_FIND(nvrtcGetProgramLog);
    TROUPE_FIND(nvrtcGetCUBINSize);
    TROUPE_FIND(nvrtcGetCUBIN);
    TROUPE_FIND(nvrtcGetErrorString);
#undef TROUPE_FIND
  } catch (const CudaError&) {
    throw;
  } catch (const std::exception& error) {
    throw CudaError(std::string("programs on a GPU need NVIDIA's compiler NVRTC, of CUDA 12 or 13: ") + error.what());
  }
  int major = 0, minor = 0;
  nvrtc.check(nvrtc.nvrtcVersion(&major, &minor), "nvrtcVersion");
  nvrtc.version = 1000 * major + 10 * minor;
  return nvrtc;
}

/// Of a compiler's log the line that says what is wrong first.
std::string firstError(const std::string& log) {
  std::istringstream lines(log);
  std::string first;
  for (std::string line; std::getline(lines, line);) {
    if (line.find("error") != std::string::npos) return line;
    if (first.empty()) first = line;
  }
  return first.empty() ? "the compiler does not say why" : first;
}

class Compilation {
 public:
  Compilation(const Nvrtc& nvrtc, const Source& source) : nvrtc_(nvrtc) {
    std::vector<const char*> texts, names;
    for (const auto& [name, text] : source.headers) {
      names.push_back(name.c_str());
      texts.push_back(text.c_str());
    }
    nvrtc.check(nvrtc.nvrtcCreateProgram(&program_, source.text.c_str(), source.name.c_str(), static_cast<int>(names.size()), texts.data(),
                                         names.data()),
                "nvrtcCreateProgram");
  }
  ~Compilation() { nvrtc_.nvrtcDestroyProgram(&program_); }
  Compilation(const Compilation&) = delete;
  Compilation& operator=(const Compilation&) = delete;

  int run(const std::vector<std::string>& options) const {
    std::vector<const char*> texts;
    for (const auto& option : options) texts.push_back(option.c_str());
    return nvrtc_.nvrtcCompileProgram(program_, static_cast<int>(texts.size()), texts.data());
  }
  std::string log() const {
    size_t bytes = 0;
    nvrtc_.check(nvrtc_.nvrtcGetProgramLogSize(program_, &bytes), "nvrtcGetProgramLogSize");
    std::string text(bytes, '\0');
    if (bytes > 0) nvrtc_.check(nvrtc_.nvrtcGetProgramLog(program_, text.data()), "nvrtcGetProgramLog");
    return text;
  }
  std::string cubin() const {
    size_t bytes = 0;
    nvrtc_.check(nvrtc_.nvrtcGetCUBINSize(program_, &bytes), "nvrtcGetCUBINSize");
    std::string cubin(bytes, '\0');
    nvrtc_.check(nvrtc_.nvrtcGetCUBIN(program_, cubin.data()), "nvrtcGetCUBIN");
    return cubin;
  }

 private:
  const Nvrtc& nvrtc_;
  ProgramHandle program_ = nullptr;
};

}  // namespace

// A failure is not kept: the next call tries again.
const Nvrtc& Nvrtc::get() {
  static const Nvrtc nvrtc = load();
  return nvrtc;
}

int compilerVersion() { return Nvrtc::get().version; }

std::string compile(const Source& source, int architecture) {
  const Nvrtc& nvrtc = Nvrtc::get();
  const Compilation compilation(nvrtc, source);
  std::vector<std::string> options{"--gpu-architecture=sm_" + std::to_string(architecture), "--std=c++17"};
  for (const auto& definition : source.definitions) options.push_back("-D" + definition);
  if (const int result = compilation.run(options); result != kSuccess) {
    throw CudaError("the kernels in " + source.name + " do not compile for sm_" + std::to_string(architecture) + " with NVRTC " +
                    std::to_string(nvrtc.version / 1000) + "." + std::to_string(nvrtc.version % 1000 / 10) + " (" +
                    nvrtc.nvrtcGetErrorString(result) + "): " + firstError(compilation.log()));
  }
  return compilation.cubin();
}

}  // namespace troupe::cuda
