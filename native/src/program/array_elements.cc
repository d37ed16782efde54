#include "program/array_elements.h"

#include <cstring>
#include <stdexcept>

#include "kernel/kernels.h"

namespace troupe::program {
namespace {

using kernel::DataType;
using kernel::kernels;

/// Calls `body` with an element of the type that integers of `type` are stored as.
template <class Body>
void withInteger(DataType type, Body&& body) {
  switch (type) {
    case DataType::Int8: return body(int8_t{});
    case DataType::Uint8:
    case DataType::Bool: return body(uint8_t{});
    case DataType::Int32: return body(int32_t{});
    case DataType::Int64: return body(int64_t{});
    default: throw std::invalid_argument("arrays of quantized numbers are not computed on");
  }
}

template <class Stored, class T>
void gather(const uint8_t* array, int64_t first, int64_t stride, size_t count, T* to) {
  const auto* from = reinterpret_cast<const Stored*>(array) + first;
  if (stride == 1) {
    for (size_t i = 0; i < count; i++) to[i] = static_cast<T>(from[i]);
  } else {
    for (size_t i = 0; i < count; i++) to[i] = static_cast<T>(from[static_cast<int64_t>(i) * stride]);
  }
}

int64_t wholeOf(float value) {
  if (value != value) return 0;
  if (value >= 0x1p63f) return INT64_MAX;
  if (value <= -0x1p63f) return INT64_MIN;
  return static_cast<int64_t>(value);
}

}  // namespace

void loadElements(const uint8_t* array, DataType type, int64_t first, int64_t stride, size_t count, float* to) {
  if (!isFloat(type)) return withInteger(type, [&](auto stored) { gather<decltype(stored)>(array, first, stride, count, to); });
  if (type == DataType::Float32 && stride != 1) return gather<float>(array, first, stride, count, to);
  const size_t bytes = kernel::rowBytes(type, 1);
  const uint8_t* from = array + first * static_cast<int64_t>(bytes);
  if (stride == 1) return kernels().toFloat(from, type, to, count);
  for (size_t i = 0; i < count; i++, from += stride * static_cast<int64_t>(bytes)) kernels().toFloat(from, type, to + i, 1);
}

void loadElements(const uint8_t* array, DataType type, int64_t first, int64_t stride, size_t count, int64_t* to) {
  withInteger(type, [&](auto stored) { gather<decltype(stored)>(array, first, stride, count, to); });
}

void storeElements(const float* from, DataType type, size_t count, uint8_t* array, size_t first) {
  if (isFloat(type)) return kernels().fromFloat(from, type, array + first * kernel::rowBytes(type, 1), count);
  withInteger(type, [&](auto stored) {
    using Stored = decltype(stored);
    auto* to = reinterpret_cast<Stored*>(array) + first;
    for (size_t i = 0; i < count; i++) to[i] = type == DataType::Bool ? from[i] != 0 : static_cast<Stored>(wholeOf(from[i]));
  });
}

void storeElements(const int64_t* from, DataType type, size_t count, uint8_t* array, size_t first) {
  if (isFloat(type)) {
    constexpr size_t kAtOnce = 64;
    float rounded[kAtOnce];
    for (size_t begin = 0; begin < count; begin += kAtOnce) {
      const size_t length = count - begin < kAtOnce ? count - begin : kAtOnce;
      for (size_t i = 0; i < length; i++) rounded[i] = static_cast<float>(from[begin + i]);
      storeElements(rounded, type, length, array, first + begin);
    }
    return;
  }
  withInteger(type, [&](auto stored) {
    using Stored = decltype(stored);
    auto* to = reinterpret_cast<Stored*>(array) + first;
    for (size_t i = 0; i < count; i++) to[i] = type == DataType::Bool ? from[i] != 0 : static_cast<Stored>(from[i]);
  });
}

}  // namespace troupe::program
