#pragma once

#include <map>
#include <string>

namespace troupe::cuda {

/// The CUDA C++ of the kernels and what they include, by their files' names in this folder.
extern const std::map<std::string, std::string> kSources;

}  // namespace troupe::cuda
