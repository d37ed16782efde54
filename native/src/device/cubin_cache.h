#pragma once

#include <functional>
#include <string>

namespace troupe::cuda {

/// Files of what was compiled, each with the key that it was compiled from: the source and all else that it depends on. Processes share
/// them; one that is damaged, or of another key, counts as none.
class CubinCache {
 public:
  /// In TROUPE_CACHE, else in XDG_CACHE_HOME/troupe, else in ~/.cache/troupe, in a folder of their own.
  CubinCache();
  explicit CubinCache(std::string folder) : folder_(std::move(folder)) {}

  /// What is kept for the key, or what `compile` gives, which is kept from then on where the folder can be written to.
  std::string get(const std::string& key, const std::function<std::string()>& compile) const;
  /// Where that is kept.
  std::string fileOf(const std::string& key) const;

 private:
  std::string folder_;  // empty where there is none
};

}  // namespace troupe::cuda
