#pragma once

#include <cmath>
#include <cstring>
#include <numeric>
#include <random>
#include <vector>

#include "check.h"
#include "kernel/kernels.h"

/// Every kernel set that this CPU runs.
inline std::vector<const troupe::kernel::Kernels*> available() {
  std::vector<const troupe::kernel::Kernels*> found;
  for (const char* name : {"portable", "avx2", "avxvnni", "avx512"}) {
    if (const troupe::kernel::Kernels* set = troupe::kernel::kernelsNamed(name)) found.push_back(set);
  }
  return found;
}

inline std::mt19937& generator() {
  static std::mt19937 numbers(42);
  return numbers;
}

inline std::vector<float> randoms(size_t count, float limit = 1) {
  std::uniform_real_distribution<float> uniform(-limit, limit);
  std::vector<float> values(count);
  for (auto& value : values) value = uniform(generator());
  return values;
}

inline std::vector<uint8_t> randomBytes(size_t count) {
  std::vector<uint8_t> bytes(count);
  for (auto& byte : bytes) byte = static_cast<uint8_t>(generator()());
  return bytes;
}

inline bool near(double found, double expected, double scale) { return std::abs(found - expected) <= 1e-5 * (scale + std::abs(expected)); }

inline double halfValue(uint16_t bits) {
  const int exponent = (bits >> 10) & 31, fraction = bits & 1023;
  const double magnitude = exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, exponent - 25);
  return bits & 0x8000 ? -magnitude : magnitude;
}

inline double bfloatValue(uint16_t bits) {
  const uint32_t wide = static_cast<uint32_t>(bits) << 16;
  float value;
  std::memcpy(&value, &wide, sizeof value);
  return value;
}

/// The types that a KV cache may have.
constexpr troupe::kernel::DataType kCacheTypes[] = {troupe::kernel::DataType::Float32, troupe::kernel::DataType::Float16,
                                                    troupe::kernel::DataType::BFloat16, troupe::kernel::DataType::Int8};

/// Element `i` of a row of a plain type.
inline double plainValue(troupe::kernel::DataType type, const uint8_t* from, size_t i) {
  using namespace troupe::kernel;
  uint16_t bits;
  float value;
  switch (type) {
    case DataType::Float32: std::memcpy(&value, from + 4 * i, 4); return value;
    case DataType::Float16: std::memcpy(&bits, from + 2 * i, 2); return halfValue(bits);
    case DataType::BFloat16: std::memcpy(&bits, from + 2 * i, 2); return bfloatValue(bits);
    default: return static_cast<int8_t>(from[i]);
  }
}

/// A cache of keys or of values: in a block, a piece for each head, of values [token][element], of keys [element][token]; those of int8
/// have [token] scales before that.
struct TestCache {
  TestCache(troupe::kernel::DataType type, bool areKeys, size_t blocks, size_t keyHeads, size_t headSize, size_t blockTokens)
      : type(type), areKeys(areKeys), keyHeads(keyHeads), headSize(headSize), blockTokens(blockTokens),
        bytes(blocks * keyHeads * blockTokens * troupe::kernel::cachedBytes(type, headSize)) {}

  /// Stores x [slots, keyHeads * headSize].
  void store(const troupe::kernel::Kernels& set, const std::vector<float>& x, const std::vector<int32_t>& slots) {
    set.storeInCache({x.data(), slots.data(), bytes.data(), type, keyHeads, headSize, blockTokens, areKeys}, 0, slots.size());
  }

  /// Fills all of it.
  void randomize(float limit) {
    std::vector<int32_t> slots(bytes.size() / keyHeads / troupe::kernel::cachedBytes(type, headSize));
    std::iota(slots.begin(), slots.end(), 0);
    store(*troupe::kernel::portableKernels(), randoms(slots.size() * keyHeads * headSize, limit), slots);
  }

  /// Element `i` of what is at a slot.
  double at(int32_t slot, size_t head, size_t i) const {
    using namespace troupe::kernel;
    const auto block = static_cast<size_t>(slot) / blockTokens, place = static_cast<size_t>(slot) % blockTokens;
    const uint8_t* piece = bytes.data() + (block * keyHeads + head) * blockTokens * cachedBytes(type, headSize);
    float scale = 1;
    if (type == DataType::Int8) {
      std::memcpy(&scale, piece + 4 * place, 4);
      piece += 4 * blockTokens;
    }
    return plainValue(type, piece, areKeys ? i * blockTokens + place : place * headSize + i) * scale;
  }

  const troupe::kernel::DataType type;
  const bool areKeys;
  const size_t keyHeads, headSize, blockTokens;
  std::vector<uint8_t> bytes;
};
