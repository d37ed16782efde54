#include "device/cubin_cache.h"

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <unistd.h>

namespace troupe::cuda {
namespace {

/// FNV-1a: http://www.isthe.com/chongo/tech/comp/fnv
uint64_t hash(const std::string& text) {
  uint64_t value = 0xcbf29ce484222325;
  for (const char byte : text) value = (value ^ static_cast<unsigned char>(byte)) * 0x100000001b3;
  return value;
}

std::string hexadecimal(uint64_t value) {
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(value));
  return text;
}

std::string ownFolder() {
  const auto variable = [](const char* name) {
    const char* value = std::getenv(name);
    return std::string(value != nullptr ? value : "");
  };
  if (const auto chosen = variable("TROUPE_CACHE"); !chosen.empty()) return chosen + "/cubins";
  if (const auto cache = variable("XDG_CACHE_HOME"); !cache.empty()) return cache + "/troupe/cubins";
  if (const auto home = variable("HOME"); !home.empty()) return home + "/.cache/troupe/cubins";
  return "";
}

/// A file's first line: what it is, the sizes of key and cubin, and the hash of both.
std::string headOf(const std::string& key, const std::string& cubin) {
  return "troupe cubin 1 " + std::to_string(key.size()) + " " + std::to_string(cubin.size()) + " " + hexadecimal(hash(key + cubin)) + "\n";
}

}  // namespace

CubinCache::CubinCache() : folder_(ownFolder()) {}

std::string CubinCache::fileOf(const std::string& key) const { return folder_ + "/" + hexadecimal(hash(key)); }

std::string CubinCache::get(const std::string& key, const std::function<std::string()>& compile) const {
  if (folder_.empty()) return compile();
  const std::string file = fileOf(key);
  {
    std::ifstream kept(file, std::ios::binary);
    std::string head;
    std::getline(kept, head);
    std::ostringstream rest;
    rest << kept.rdbuf();
    const std::string body = rest.str();
    if (body.size() > key.size() && body.compare(0, key.size(), key) == 0) {
      std::string cubin = body.substr(key.size());
      if (head + "\n" == headOf(key, cubin)) return cubin;
    }
  }
  std::string cubin = compile();
  std::error_code failed;
  std::filesystem::create_directories(folder_, failed);
  const std::string unfinished = file + "." + std::to_string(getpid());
  std::ofstream writing(unfinished, std::ios::binary);
  writing << headOf(key, cubin) << key << cubin;
  writing.close();
  if (writing) std::filesystem::rename(unfinished, file, failed);
  if (!writing || failed) std::filesystem::remove(unfinished, failed);
  return cubin;
}

}  // namespace troupe::cuda
