#pragma once

#include <cstddef>
#include <cstdint>

namespace troupe::kernel {

/// Element types. Those from Q8_0 on are GGUF's: a row is a sequence of blocks, each with its own scales.
enum class DataType : uint8_t {
  Float32,
  Float16,
  BFloat16,
  Int32,
  Int8,
  Uint8,
  Int64,
  Bool,
  Q8_0,
  Q4_0,
  Q4_1,
  Q5_0,
  Q5_1,
  Q4_K,
  Q5_K,
  Q6_K
};

/// How many elements the smallest whole piece of a row has, and how many bytes. One element for the plain types.
struct BlockSize {
  size_t elements, bytes;
};

static constexpr BlockSize blockSizeOf(DataType type) {
  switch (type) {
    case DataType::Float32: return {1, 4};
    case DataType::Float16:
    case DataType::BFloat16: return {1, 2};
    case DataType::Int32: return {1, 4};
    case DataType::Int8:
    case DataType::Uint8:
    case DataType::Bool: return {1, 1};
    case DataType::Int64: return {1, 8};
    case DataType::Q8_0: return {32, 34};
    case DataType::Q4_0: return {32, 18};
    case DataType::Q4_1: return {32, 20};
    case DataType::Q5_0: return {32, 22};
    case DataType::Q5_1: return {32, 24};
    case DataType::Q4_K: return {256, 144};
    case DataType::Q5_K: return {256, 176};
    case DataType::Q6_K: return {256, 210};
  }
  return {1, 0};
}

/// Bytes of a row; `elements` must be whole blocks.
static constexpr size_t rowBytes(DataType type, size_t elements) { return elements / blockSizeOf(type).elements * blockSizeOf(type).bytes; }

/// Floats of a group that is rounded to int8 in a message: a float scale, then the values.
constexpr size_t kGroupFloats = 32, kGroupBytes = sizeof(float) + kGroupFloats;

/// Bytes of a key or value of one head in a KV cache; Int8 has a float scale for each.
static constexpr size_t cachedBytes(DataType type, size_t headSize) {
  return rowBytes(type, headSize) + (type == DataType::Int8 ? sizeof(float) : 0);
}

static constexpr bool isQuantized(DataType type) { return blockSizeOf(type).elements > 1; }

}  // namespace troupe::kernel
