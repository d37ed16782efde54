#pragma once

// Elements of weights and caches: the plain types, and the blocks of GGUF ("ggml-common.h" of ggml, https://github.com/ggml-org/ggml).
// Each type says how many elements a block has and in how many bytes, and gives element i of a block; of plain types a block is an element.
#include "instructions.cuh"

struct Float32 {
  static constexpr int kElements = 1, kBytes = 4;
  __device__ static float at(const byte* block, int) { return *reinterpret_cast<const float*>(block); }
  __device__ static void put(byte* to, float value) { *reinterpret_cast<float*>(to) = value; }
};

struct Float16 {
  static constexpr int kElements = 1, kBytes = 2;
  __device__ static float at(const byte* block, int) { return halfToFloat(*reinterpret_cast<const word*>(block)); }
  __device__ static void put(byte* to, float value) { *reinterpret_cast<word*>(to) = floatToHalf(value); }
};

struct BFloat16 {
  static constexpr int kElements = 1, kBytes = 2;
  __device__ static float at(const byte* block, int) {
    return __uint_as_float(static_cast<unsigned>(*reinterpret_cast<const word*>(block)) << 16);
  }
  // To the nearest, ties to even; a NaN stays one.
  __device__ static void put(byte* to, float value) {
    const unsigned bits = __float_as_uint(value), rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    *reinterpret_cast<word*>(to) = static_cast<word>((bits & 0x7fffffff) > 0x7f800000 ? bits >> 16 | 0x40 : rounded);
  }
};

/// Of a cache, without the scale of its token.
struct Int8 {
  static constexpr int kElements = 1, kBytes = 1;
  __device__ static float at(const byte* block, int) { return static_cast<float>(*reinterpret_cast<const signed char*>(block)); }
  __device__ static void put(byte* to, float value) { *reinterpret_cast<signed char*>(to) = static_cast<signed char>(__float2int_rn(value)); }
};

/// A float at any address: pieces of a cache of int8 need not begin at multiples of four bytes.
__device__ inline float floatAt(const byte* from) {
  return __uint_as_float(from[0] | from[1] << 8 | from[2] << 16 | static_cast<unsigned>(from[3]) << 24);
}
__device__ inline void putFloat(byte* to, float value) {
  const unsigned bits = __float_as_uint(value);
  for (int i = 0; i < 4; i++) to[i] = static_cast<byte>(bits >> (8 * i));
}

__device__ inline float scaleAt(const byte* from) { return halfToFloat(*reinterpret_cast<const word*>(from)); }
__device__ inline int nibbleAt(const byte* from, int i) { return i < 16 ? from[i] & 15 : from[i - 16] >> 4; }
__device__ inline int fifthBit(const byte* from, int i) { return (from[i / 8] >> (i % 8) & 1) << 4; }

struct Q8_0 {
  static constexpr int kElements = 32, kBytes = 34;
  __device__ static float at(const byte* block, int i) {
    return scaleAt(block) * static_cast<float>(*reinterpret_cast<const signed char*>(block + 2 + i));
  }
};

struct Q4_0 {
  static constexpr int kElements = 32, kBytes = 18;
  __device__ static float at(const byte* block, int i) { return scaleAt(block) * static_cast<float>(nibbleAt(block + 2, i) - 8); }
};

struct Q4_1 {
  static constexpr int kElements = 32, kBytes = 20;
  __device__ static float at(const byte* block, int i) {
    return scaleAt(block) * static_cast<float>(nibbleAt(block + 4, i)) + scaleAt(block + 2);
  }
};

struct Q5_0 {
  static constexpr int kElements = 32, kBytes = 22;
  __device__ static float at(const byte* block, int i) {
    return scaleAt(block) * static_cast<float>((nibbleAt(block + 6, i) | fifthBit(block + 2, i)) - 16);
  }
};

struct Q5_1 {
  static constexpr int kElements = 32, kBytes = 24;
  __device__ static float at(const byte* block, int i) {
    return scaleAt(block) * static_cast<float>(nibbleAt(block + 8, i) | fifthBit(block + 4, i)) + scaleAt(block + 2);
  }
};

/// The scale and the minimum of a group of 32, six bits each, as Q4_K and Q5_K pack those of eight groups.
__device__ inline void groupOf(const byte* scales, int group, float& scale, float& minimum) {
  const int low = group < 4 ? scales[group] & 63 : (scales[group + 4] & 15) | (scales[group - 4] >> 6) << 4;
  const int high = group < 4 ? scales[group + 4] & 63 : (scales[group + 4] >> 4) | (scales[group] >> 6) << 4;
  scale = static_cast<float>(low);
  minimum = static_cast<float>(high);
}

struct Q4_K {
  static constexpr int kElements = 256, kBytes = 144;
  __device__ static float at(const byte* block, int i) {
    const int group = i / 32;
    float scale, minimum;
    groupOf(block + 4, group, scale, minimum);
    const int value = (block[16 + group / 2 * 32 + i % 32] >> (group % 2 * 4)) & 15;
    return scaleAt(block) * scale * static_cast<float>(value) - scaleAt(block + 2) * minimum;
  }
};

struct Q5_K {
  static constexpr int kElements = 256, kBytes = 176;
  __device__ static float at(const byte* block, int i) {
    const int group = i / 32, place = i % 32;
    float scale, minimum;
    groupOf(block + 4, group, scale, minimum);
    const int value = ((block[48 + group / 2 * 32 + place] >> (group % 2 * 4)) & 15) | (block[16 + place] >> group & 1) << 4;
    return scaleAt(block) * scale * static_cast<float>(value) - scaleAt(block + 2) * minimum;
  }
};

struct Q6_K {
  static constexpr int kElements = 256, kBytes = 210;
  __device__ static float at(const byte* block, int i) {
    const int part = i / 128, quarter = i % 128 / 32, place = i % 32;
    const int low = (block[part * 64 + quarter % 2 * 32 + place] >> (quarter / 2 * 4)) & 15;
    const int high = ((block[128 + part * 32 + place] >> (2 * quarter)) & 3) << 4;
    const float scale = static_cast<float>(*reinterpret_cast<const signed char*>(block + 192 + i / 16));
    return scaleAt(block + 208) * scale * static_cast<float>((low | high) - 32);
  }
};

/// Element `i` of a row.
template <class Type>
__device__ inline float elementAt(const byte* row, int i) {
  return Type::at(row + static_cast<size_t>(i / Type::kElements) * Type::kBytes, i % Type::kElements);
}

/// Bytes of a row; `elements` are whole blocks.
template <class Type>
__device__ inline size_t bytesOfRow(int elements) {
  return static_cast<size_t>(elements / Type::kElements) * Type::kBytes;
}
