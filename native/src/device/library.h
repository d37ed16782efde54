#pragma once

#include <initializer_list>
#include <string>

namespace troupe {

/// A shared library opened at run time, for as long as the process lives.
class Library {
 public:
  /// Opens the file that the environment variable `variable` names, else `name` where the loader finds it. Throws
  /// std::runtime_error with the loader's text.
  Library(const char* variable, const char* name) : Library(variable, {name}) {}
  /// The same for the first of several names that the loader finds.
  Library(const char* variable, std::initializer_list<const char*> names);

  /// Throws std::runtime_error if the library has no such function, unless it is `optional`: then `function` is null.
  template <class Function>
  void find(Function& function, const char* name, bool optional = false) const {
    function = reinterpret_cast<Function>(symbol(name, optional));
  }

 private:
  void* symbol(const char* name, bool optional) const;

  std::string file_;
  void* handle_;
};

}  // namespace troupe
