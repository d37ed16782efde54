#pragma once

#include "kernel_support.h"

/// The value of weight `i` of a block, by the formulas of GGUF's formats and element by element.
inline double blockValue(troupe::kernel::DataType type, const uint8_t* block, size_t i) {
  using troupe::kernel::DataType;
  const auto half = [&](size_t at) {
    uint16_t bits;
    std::memcpy(&bits, block + at, sizeof bits);
    return halfValue(bits);
  };
  const auto nibble = [&](size_t at) { return i < 16 ? block[at + i] & 15 : block[at + i - 16] >> 4; };
  const auto fifth = [&](size_t at) { return (block[at + i / 8] >> (i % 8) & 1) << 4; };
  const size_t group = i / 32, place = i % 32;
  const auto* scales = block + 4;  // of Q4_K and Q5_K
  const int scale = group < 4 ? scales[group] & 63 : (scales[group + 4] & 15) | (scales[group - 4] >> 6) << 4;
  const int minimum = group < 4 ? scales[group + 4] & 63 : (scales[group + 4] >> 4) | (scales[group] >> 6) << 4;
  switch (type) {
    case DataType::Q8_0: return half(0) * static_cast<int8_t>(block[2 + i]);
    case DataType::Q4_0: return half(0) * (nibble(2) - 8);
    case DataType::Q4_1: return half(0) * nibble(4) + half(2);
    case DataType::Q5_0: return half(0) * ((nibble(6) | fifth(2)) - 16);
    case DataType::Q5_1: return half(0) * (nibble(8) | fifth(4)) + half(2);
    case DataType::Q4_K: return half(0) * scale * (block[16 + group / 2 * 32 + place] >> (group % 2 * 4) & 15) - half(2) * minimum;
    case DataType::Q5_K: {
      const int high = (block[16 + place] >> group & 1) << 4;
      return half(0) * scale * ((block[48 + group / 2 * 32 + place] >> (group % 2 * 4) & 15) | high) - half(2) * minimum;
    }
    case DataType::Q6_K: {
      const size_t part = i / 128, quarter = i % 128 / 32;
      const int low = block[part * 64 + quarter % 2 * 32 + place] >> (quarter / 2 * 4) & 15;
      const int high = (block[128 + part * 32 + place] >> (2 * quarter) & 3) << 4;
      return half(208) * static_cast<int8_t>(block[192 + i / 16]) * ((low | high) - 32);
    }
    default: return 0;
  }
}

constexpr troupe::kernel::DataType kQuantizedTypes[] = {
    troupe::kernel::DataType::Q8_0, troupe::kernel::DataType::Q4_0, troupe::kernel::DataType::Q4_1, troupe::kernel::DataType::Q5_0,
    troupe::kernel::DataType::Q5_1, troupe::kernel::DataType::Q4_K, troupe::kernel::DataType::Q5_K, troupe::kernel::DataType::Q6_K,
};

/// Random blocks whose scales are between 1/2 and 2 in size.
inline std::vector<uint8_t> randomBlocks(troupe::kernel::DataType type, size_t elements) {
  using troupe::kernel::DataType;
  const auto size = troupe::kernel::blockSizeOf(type);
  auto bytes = randomBytes(elements / size.elements * size.bytes);
  const auto tame = [&](size_t at) { bytes[at + 1] = static_cast<uint8_t>((bytes[at + 1] & 0x83) | 0x38); };
  for (size_t block = 0; block < bytes.size(); block += size.bytes) {
    tame(block + (type == DataType::Q6_K ? 208 : 0));
    if (type == DataType::Q4_1 || type == DataType::Q5_1 || type == DataType::Q4_K || type == DataType::Q5_K) tame(block + 2);
  }
  return bytes;
}
