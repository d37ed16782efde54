#include "device/library.h"

#include <cstdlib>
#include <dlfcn.h>
#include <stdexcept>

namespace troupe {

Library::Library(const char* variable, std::initializer_list<const char*> names) {
  const char* chosen = std::getenv(variable);
  std::string reasons;
  const auto open = [&](const char* name) {
    file_ = name;
    handle_ = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (handle_ != nullptr) return true;
    const char* reason = dlerror();
    reasons += (reasons.empty() ? "" : "; ") + std::string(reason != nullptr ? reason : "no reason given");
    return false;
  };
  if (chosen != nullptr && *chosen != '\0') {
    if (open(chosen)) return;
  } else {
    for (const char* name : names) {
      if (open(name)) return;
    }
  }
  throw std::runtime_error("cannot open " + file_ + " (" + reasons + "); name its file in " + variable +
                           ", or its folder in LD_LIBRARY_PATH");
}

void* Library::symbol(const char* name, bool optional) const {
  void* found = dlsym(handle_, name);
  if (found == nullptr && !optional) throw std::runtime_error(file_ + " has no function " + name + "; a newer version is needed");
  return found;
}

}  // namespace troupe
