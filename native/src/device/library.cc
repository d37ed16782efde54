#include "device/library.h"

#include <cstdlib>
#include <dlfcn.h>
#include <stdexcept>

namespace troupe {

Library::Library(const char* variable, const char* name) {
  const char* chosen = std::getenv(variable);
  file_ = chosen != nullptr && *chosen != '\0' ? chosen : name;
  handle_ = dlopen(file_.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle_ != nullptr) return;
  const char* reason = dlerror();
  throw std::runtime_error("cannot open " + file_ + " (" + (reason != nullptr ? reason : "no reason given") + "); name its file in " +
                           variable + ", or its folder in LD_LIBRARY_PATH");
}

void* Library::symbol(const char* name, bool optional) const {
  void* found = dlsym(handle_, name);
  if (found == nullptr && !optional) throw std::runtime_error(file_ + " has no function " + name + "; a newer version is needed");
  return found;
}

}  // namespace troupe
