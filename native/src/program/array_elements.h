#pragma once

#include <cstddef>
#include <cstdint>

#include "kernel/data_type.h"

namespace troupe::program {

/// Whether elements of a type are computed in float32; those of others are in int64.
constexpr bool isFloat(kernel::DataType type) {
  return type == kernel::DataType::Float32 || type == kernel::DataType::Float16 || type == kernel::DataType::BFloat16;
}

/// Reads `count` elements of an array, `stride` elements apart, from its element `first` on.
void loadElements(const uint8_t* array, kernel::DataType type, int64_t first, int64_t stride, size_t count, float* to);
void loadElements(const uint8_t* array, kernel::DataType type, int64_t first, int64_t stride, size_t count, int64_t* to);

/// Writes elements that lie behind each other, from the array's element `first` on. Floats become integers towards zero; where these
/// have no such number, the nearest of int64, of which smaller integers keep the lower bits; NaN becomes 0.
void storeElements(const float* from, kernel::DataType type, size_t count, uint8_t* array, size_t first);
void storeElements(const int64_t* from, kernel::DataType type, size_t count, uint8_t* array, size_t first);

}  // namespace troupe::program
