#pragma once

// Elements of every type, and what collectives must make of them.

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <mutex>
#include <vector>

#include "check.h"
#include "collective/signature.h"

using troupe::collective::DataType;
using troupe::collective::Reduction;

inline constexpr DataType kReducible[] = {DataType::Float32, DataType::Float16, DataType::BFloat16,
                                          DataType::Int8,    DataType::Int32,   DataType::Int64};
inline constexpr Reduction kAll[] = {Reduction::Sum, Reduction::Product, Reduction::Minimum, Reduction::Maximum, Reduction::Average};

inline bool isFloat(DataType type) { return type == DataType::Float32 || type == DataType::Float16 || type == DataType::BFloat16; }

/// The numbers of all bits of a float16.
inline const std::vector<double> kHalves = [] {
  std::vector<double> halves(1 << 16);
  for (size_t bits = 0; bits < halves.size(); bits++) {
    const int exponent = static_cast<int>(bits) >> 10 & 31, fraction = static_cast<int>(bits) & 1023;
    const double magnitude = exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, exponent - 25);
    halves[bits] = bits & 0x8000 ? -magnitude : magnitude;
  }
  return halves;
}();

inline double readElement(const uint8_t* from, DataType type) {
  const auto as = [from](auto value) {
    std::memcpy(&value, from, sizeof value);
    return value;
  };
  switch (type) {
    case DataType::Float32: return as(float{});
    case DataType::Float16: return kHalves[as(uint16_t{})];
    case DataType::BFloat16: {
      const uint32_t wide = static_cast<uint32_t>(as(uint16_t{})) << 16;
      float value;
      std::memcpy(&value, &wide, sizeof value);
      return value;
    }
    case DataType::Int8: return as(int8_t{});
    case DataType::Int32: return as(int32_t{});
    case DataType::Int64: return static_cast<double>(as(int64_t{}));
    case DataType::UInt8: return as(uint8_t{});
  }
  return 0;
}

/// Element i of rank r: any value of a small range that the type holds exactly, so that references are exact too.
inline void writeElement(uint8_t* to, DataType type, int rank, size_t i) {
  const int value = static_cast<int>((i * 7 + static_cast<size_t>(rank) * 3) % 5) - 2;  // -2 to 2
  const auto put = [to](auto element) { std::memcpy(to, &element, sizeof element); };
  switch (type) {
    case DataType::Float32: return put(0.37f * static_cast<float>(value) + 1e-3f * static_cast<float>(i % 97));
    case DataType::Float16: return put(static_cast<uint16_t>((value < 0 ? 0x8000 : 0) | (0x3800 + i * 37 % 1024)));  // ±0.5 to ±1
    case DataType::BFloat16: return put(static_cast<uint16_t>((value < 0 ? 0x8000 : 0) | (0x3f00 + i * 37 % 128)));
    case DataType::Int8: return put(static_cast<int8_t>(value));
    case DataType::Int32: return put(value);
    case DataType::Int64: return put(static_cast<int64_t>(value) * (1 << 20));
    case DataType::UInt8: return put(static_cast<uint8_t>(i * 31 + static_cast<size_t>(rank)));
  }
}

/// writeElement() gives the same for i and i + this.
inline size_t periodOf(DataType type) {
  switch (type) {
    case DataType::Float32: return size_t{5} * 97;
    case DataType::Float16: return size_t{5} * 1024;
    case DataType::BFloat16: return size_t{5} * 128;
    case DataType::Int8:
    case DataType::Int32:
    case DataType::Int64: return 5;
    case DataType::UInt8: return 256;
  }
  return 0;
}

/// Memory that elements had, which the next ones have: where new pages are dear, these cost more than what is done with them.
class ElementMemory {
 public:
  static std::vector<uint8_t> take(size_t bytes) {
    std::vector<uint8_t> memory;
    if (!kHasSanitizer) {  // which look at memory from when it is new until it is freed
      const std::lock_guard<std::mutex> lock(mutex());
      auto& free = kept();
      if (const auto found = free.lower_bound(bytes); found != free.end() && found->first <= bytes + bytes / 4 + kSmall) {
        memory = std::move(found->second);
        free.erase(found);
      }
    }
    memory.assign(bytes, 0xa5);
    return memory;
  }
  static void give(std::vector<uint8_t> memory) {
    if (kHasSanitizer) return;
    const std::lock_guard<std::mutex> lock(mutex());
    kept().emplace(memory.capacity(), std::move(memory));
  }

  /// Frees what there is.
  static void drop() {
    const std::lock_guard<std::mutex> lock(mutex());
    kept().clear();
  }

 private:
  static constexpr size_t kSmall = 4096;
  static std::mutex& mutex() {
    static std::mutex one;
    return one;
  }
  static std::multimap<size_t, std::vector<uint8_t>>& kept() {
    static std::multimap<size_t, std::vector<uint8_t>> free;
    return free;
  }
};

/// Elements begin one byte after a boundary, and guards follow them.
class Elements {
 public:
  Elements(DataType type, size_t count) : type_(type), count_(count), memory_(ElementMemory::take(count * bytesOf(type) + 17)) {}
  Elements(DataType type, size_t count, int rank) : Elements(type, count) {
    const size_t period = std::min(count, periodOf(type));
    for (size_t i = 0; i < period; i++) writeElement(at(i), type, rank, i);
    for (size_t done = period; done < count; done += std::min(done, count - done))
      std::memcpy(at(done), data(), std::min(done, count - done) * bytesOf(type));
  }
  ~Elements() { ElementMemory::give(std::move(memory_)); }
  Elements(const Elements&) = delete;
  Elements& operator=(const Elements&) = delete;

  uint8_t* data() { return memory_.data() + 1; }
  uint8_t* at(size_t i) { return data() + i * bytesOf(type_); }
  size_t bytes() const { return count_ * bytesOf(type_); }
  bool guarded() const {
    if (memory_[0] != 0xa5) return false;
    for (size_t i = bytes() + 1; i < memory_.size(); i++) {
      if (memory_[i] != 0xa5) return false;
    }
    return true;
  }

 private:
  DataType type_;
  size_t count_;
  std::vector<uint8_t> memory_;
};

/// What a reduction of element i of all ranks must be, to within an error; anything at all where a double cannot say it.
struct Expected {
  double value = 0, error = 0;
  bool isKnown = true;
};

inline Expected expectedOf(DataType type, Reduction reduction, int size, size_t i) {
  double value = 0, magnitude = 0;
  for (int rank = 0; rank < size; rank++) {
    uint8_t bytes[8];
    writeElement(bytes, type, rank, i);
    const double x = readElement(bytes, type);
    switch (reduction) {
      case Reduction::Sum:
      case Reduction::Average: value += x; break;
      case Reduction::Product: value = rank == 0 ? x : value * x; break;
      case Reduction::Minimum: value = rank == 0 ? x : std::min(value, x); break;
      case Reduction::Maximum: value = rank == 0 ? x : std::max(value, x); break;
    }
    magnitude = std::max({magnitude, std::abs(x), std::abs(value)});
  }
  if (reduction == Reduction::Average) value = isFloat(type) ? value / size : std::trunc(value / size);
  if (isFloat(type)) {
    const double step = type == DataType::Float32 ? 0x1p-23 : type == DataType::Float16 ? 0x1p-11 : 0x1p-8;
    return {value, magnitude * (step + size * 0x1p-23)};
  }
  // Integers wrap around.
  if (type == DataType::Int8) value = static_cast<int8_t>(static_cast<int64_t>(value));
  return {value, 0, type != DataType::Int64 || std::abs(value) < 0x1p63};
}

/// The reductions of elements [0, count), which are worked out for one period of them.
class ExpectedElements {
 public:
  ExpectedElements(DataType type, Reduction reduction, int size, size_t count) : type_(type) {
    for (size_t i = 0; i < std::min(count, periodOf(type)); i++) period_.push_back(expectedOf(type, reduction, size, i));
  }

  /// Checks elements [begin, begin + count), which lie at `found`.
  void check(const uint8_t* found, size_t begin, size_t count) const {
    const size_t bytes = bytesOf(type_);
    for (size_t i = 0, at = count > 0 ? begin % period_.size() : 0; i < count; i++, at = at + 1 == period_.size() ? 0 : at + 1) {
      const Expected& expected = period_[at];
      CHECK(!expected.isKnown || std::abs(readElement(found + i * bytes, type_) - expected.value) <= expected.error);
    }
  }

 private:
  const DataType type_;
  std::vector<Expected> period_;
};

inline void checkReduced(const uint8_t* found, DataType type, Reduction reduction, int size, size_t i) {
  const Expected expected = expectedOf(type, reduction, size, i);
  CHECK(!expected.isKnown || std::abs(readElement(found, type) - expected.value) <= expected.error);
}

inline std::vector<size_t> unevenCounts(size_t count, int size) {
  std::vector<size_t> counts(static_cast<size_t>(size));
  for (size_t r = 0; r < counts.size(); r++) counts[r] = r % 3 == 1 ? 0 : count / counts.size() + r;
  return counts;
}
