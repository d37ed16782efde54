#pragma once

#include <cmath>
#include <cstring>
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

/// Element `i` of what fromFloat() has written.
inline double roundedValue(troupe::kernel::DataType type, const uint8_t* from, size_t i) {
  using namespace troupe::kernel;
  uint16_t bits;
  float value;
  switch (type) {
    case DataType::Float32: std::memcpy(&value, from + 4 * i, 4); return value;
    case DataType::Float16: std::memcpy(&bits, from + 2 * i, 2); return halfValue(bits);
    case DataType::BFloat16: std::memcpy(&bits, from + 2 * i, 2); return bfloatValue(bits);
    default: break;
  }
  const uint8_t* group = from + i / kGroupFloats * kGroupBytes;
  std::memcpy(&value, group, 4);
  return static_cast<double>(value) * static_cast<int8_t>(group[4 + i % kGroupFloats]);
}
