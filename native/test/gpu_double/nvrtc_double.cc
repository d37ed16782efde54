// A test double of NVRTC, as of CUDA 13: it compiles the source of kernels for the host, with device/runtime.h before it, so that
// execution.cc can execute them. What is compiled is kept, so that many processes compile a kernel once.
//
// TROUPE_GPU_DOUBLE_CACHE: the folder that it is kept in (gpu_double_kernels beside the double). CXX: the compiler (c++).
// TROUPE_GPU_DOUBLE_CHECK=0: kernels are not checked, and run many times as fast.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <fcntl.h>
#include <fstream>
#include <functional>
#include <map>
#include <regex>
#include <spawn.h>
#include <sstream>
#include <string>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

#include "cubin.h"
#include "cuda_double.h"

extern char** environ;

namespace {

using gpu_double::CubinHead;

constexpr int kSuccess = 0, kInvalidInput = 3, kInvalidProgram = 4, kInvalidOption = 5, kCompilation = 6;

struct Program {
  std::string name, source, log, cubin;
  std::map<std::string, std::string> headers;
};

std::string read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

void write(const std::string& path, const std::string& text) { std::ofstream(path, std::ios::binary) << text; }

uint64_t hash(const std::string& text) {  // FNV-1a
  uint64_t value = 0xcbf29ce484222325;
  for (const unsigned char byte : text) value = (value ^ byte) * 0x100000001b3;
  return value;
}

std::string cacheFolder() {
  if (const char* chosen = std::getenv("TROUPE_GPU_DOUBLE_CACHE")) return chosen;
  Dl_info info{};
  dladdr(reinterpret_cast<const void*>(&cacheFolder), &info);
  const std::string file = info.dli_fname;
  return file.substr(0, file.rfind('/') + 1) + "gpu_double_kernels";
}

bool isChecking() {
  const char* chosen = std::getenv("TROUPE_GPU_DOUBLE_CHECK");
  return chosen == nullptr || std::strcmp(chosen, "0") != 0;
}

/// What the double's compiler adds behind a source: a caller for each kernel.
std::string callersOf(const std::string& source) {
  static const std::regex kernel(R"(__global__\s+(?:void\s+)?(?:__launch_bounds__\s*\([^)]*\)\s*)?(?:void\s+)?(\w+)\s*\()");
  std::string callers = "\n";
  for (std::sregex_iterator found(source.begin(), source.end(), kernel), end; found != end; ++found)
    callers += "GPU_DOUBLE_KERNEL(" + (*found)[1].str() + ")\n";
  return callers;
}

/// A definition of the dynamic shared memory that a source declares, or nothing.
std::string dynamicOf(const std::string& source) {
  static const std::regex declared(R"(extern\s+__shared__\s+[^;\[]*?(\w+)\s*\[\s*\])");
  std::smatch found;
  if (!std::regex_search(source, found, declared)) return "";
  const std::string name = found[1];
  return "alignas(1024) thread_local unsigned char " + name + "[" + std::to_string(gpu_double::kMostShared) +
         "];\nextern \"C\" __attribute__((visibility(\"default\"))) void* gpu_double_dynamic() { return " + name + "; }\n";
}

int run(const std::vector<std::string>& command, const std::string& output) {
  std::vector<char*> arguments;
  for (const auto& argument : command) arguments.push_back(const_cast<char*>(argument.c_str()));
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 1, output.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  posix_spawn_file_actions_adddup2(&actions, 1, 2);
  pid_t child = 0;
  const int failed = posix_spawnp(&child, arguments[0], &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (failed != 0) {
    write(output, command[0] + ": error: " + std::strerror(failed) + "; the double of NVRTC needs a C++ compiler, name it in CXX\n");
    return failed;
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return status;
}

/// The options as the host's compiler takes them; those that it does not know of are NVRTC's own.
bool translate(const std::vector<std::string>& options, std::vector<std::string>& translated) {
  for (const auto& option : options) {
    static const std::regex architecture("--gpu-architecture=sm_([0-9]+)a?");
    std::smatch found;
    if (std::regex_match(option, found, architecture)) {
      translated.push_back("-D__CUDA_ARCH__=" + found[1].str() + "0");
    } else if (option.rfind("-D", 0) == 0) {
      translated.push_back(option);
    } else if (option.rfind("--std=", 0) == 0 || option == "--use_fast_math" || option == "-default-device" || option == "-lineinfo") {
      continue;
    } else {
      return false;
    }
  }
  return true;
}

int compile(Program& program, const std::vector<std::string>& options) {
  std::vector<std::string> command{std::getenv("CXX") != nullptr ? std::getenv("CXX") : "c++", "-x", "c++", "-std=c++17", "-O1", "-g1"};
  if (!translate(options, command)) return kInvalidOption;
  // Calls at which threads wait for each other stay one call each.
  for (const char* flag : {"-fPIC", "-shared", "-nostdlib", "-fvisibility=hidden", "-fno-exceptions", "-fno-rtti", "-fno-extern-tls-init",
                           "-fno-threadsafe-statics", "-fno-thread-jumps", "-fno-tree-dominator-opts", "-fno-strict-aliasing", "-w"})
    command.push_back(flag);
  const std::string device = GPU_DOUBLE_DEVICE;
  const std::string kernels = "#include \"runtime.h\"\n#line 1 \"" + program.name + "\"\n" + program.source + callersOf(program.source);
  const std::string dynamic = dynamicOf(program.source);
  std::string key = kernels + dynamic + read(device + "/runtime.h") + read(device + "/interface.h") + (isChecking() ? "checked" : "");
  for (const auto& argument : command) key += argument + '\n';
  for (const auto& [name, text] : program.headers) key += name + '\n' + text + read(device + "/" + name);

  mkdir(cacheFolder().c_str(), 0700);
  char name[32];
  std::snprintf(name, sizeof name, "/%016llx", static_cast<unsigned long long>(hash(key)));
  const std::string base = cacheFolder() + name, result = base + ".so";
  // Of several processes one compiles, and the others wait for it.
  const int lock = open((base + ".lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (lock < 0 || flock(lock, LOCK_EX) != 0) return kInvalidInput;
  int status = 0;
  if (access(result.c_str(), R_OK) != 0) {
    const std::string folder = base + "." + std::to_string(getpid());
    mkdir(folder.c_str(), 0700);
    write(folder + "/kernels.cc", kernels);
    write(folder + "/dynamic.cc", dynamic);
    for (const auto& [header, text] : program.headers) {
      const std::string own = read(device + "/" + header);
      write(folder + "/" + header, own.empty() ? text : own);
    }
    command.insert(command.end(), {"-I" + folder, "-I" + device, "-o", folder + "/compiled.so"});
    auto compiled = command;
    compiled.insert(compiled.end(), {"-c", folder + "/kernels.cc", "-o", folder + "/kernels.o"});
    if (isChecking()) compiled.push_back("-fsanitize=thread");
    status = run(compiled, folder + "/log");
    program.log = read(folder + "/log");
    if (status == 0) {
      auto linked = command;
      linked.insert(linked.end(), {"-x", "none", folder + "/kernels.o", "-x", "c++", folder + "/dynamic.cc", "-x", "none", "-lm"});
      status = run(linked, folder + "/log");
      program.log += read(folder + "/log");
    }
    if (status == 0) status = rename((folder + "/compiled.so").c_str(), result.c_str());
    for (const char* file : {"/kernels.cc", "/dynamic.cc", "/kernels.o", "/compiled.so", "/log"}) unlink((folder + file).c_str());
    for (const auto& [header, text] : program.headers) unlink((folder + "/" + header).c_str());
    rmdir(folder.c_str());
  }
  close(lock);
  if (status != 0) return kCompilation;
  const std::string object = read(result);
  CubinHead head{};
  std::memcpy(head.magic, gpu_double::kCubinMagic, sizeof head.magic);
  head.bytes = object.size();
  program.cubin = std::string(reinterpret_cast<const char*>(&head), sizeof head) + object;
  return kSuccess;
}

}  // namespace

extern "C" {

int nvrtcVersion(int* major, int* minor) {
  *major = 13;
  *minor = 0;
  return kSuccess;
}

int nvrtcCreateProgram(void** program, const char* source, const char* name, int headers, const char* const* texts,
                       const char* const* names) {
  auto* made = new Program{name, source, "", "", {}};
  for (int i = 0; i < headers; i++) made->headers[names[i]] = texts[i];
  *program = made;
  return kSuccess;
}

int nvrtcDestroyProgram(void** program) {
  delete static_cast<Program*>(*program);
  *program = nullptr;
  return kSuccess;
}

int nvrtcCompileProgram(void* program, int count, const char* const* options) {
  return compile(*static_cast<Program*>(program), {options, options + count});
}

int nvrtcGetProgramLogSize(void* program, size_t* bytes) {
  *bytes = static_cast<Program*>(program)->log.size() + 1;
  return kSuccess;
}

int nvrtcGetProgramLog(void* program, char* log) {
  const auto& text = static_cast<Program*>(program)->log;
  std::memcpy(log, text.c_str(), text.size() + 1);
  return kSuccess;
}

int nvrtcGetCUBINSize(void* program, size_t* bytes) {
  *bytes = static_cast<Program*>(program)->cubin.size();
  return *bytes > 0 ? kSuccess : kInvalidProgram;
}

int nvrtcGetCUBIN(void* program, char* cubin) {
  const auto& made = static_cast<Program*>(program)->cubin;
  std::memcpy(cubin, made.data(), made.size());
  return kSuccess;
}

const char* nvrtcGetErrorString(int result) {
  switch (result) {
    case kSuccess: return "NVRTC_SUCCESS";
    case kInvalidOption: return "NVRTC_ERROR_INVALID_OPTION";
    case kCompilation: return "NVRTC_ERROR_COMPILATION";
    default: return "NVRTC_ERROR_INVALID_INPUT";
  }
}

}  // extern "C"
