#pragma once

// The double's own instructions.cuh of the kernels: the same functions, by their definition, where those are of a GPU's instructions.

using byte = unsigned char;
using word = unsigned short;

inline float halfToFloat(word bits) {
  const unsigned sign = static_cast<unsigned>(bits & 0x8000) << 16, magnitude = bits & 0x7fff;
  if (magnitude >= 0x7c00) return __uint_as_float(sign | 0x7f800000 | (magnitude & 0x3ff) << 13);
  if (magnitude < 0x400) return __uint_as_float(sign | __float_as_uint(static_cast<float>(magnitude) * 0x1p-24f));
  return __uint_as_float(sign | ((magnitude << 13) + 0x38000000));
}

inline word floatToHalf(float value) {
  const unsigned bits = __float_as_uint(value), sign = bits >> 16 & 0x8000, magnitude = bits & 0x7fffffff;
  unsigned half;
  if (magnitude > 0x7f800000) {
    half = 0x7fff;
  } else if (magnitude >= 0x477ff000) {
    half = 0x7c00;
  } else if (magnitude >= 0x38800000) {
    half = (magnitude + 0xfff + (magnitude >> 13 & 1) - 0x38000000) >> 13;
  } else {
    half = static_cast<unsigned>(__builtin_rintf(__uint_as_float(magnitude) * 0x1p24f));
  }
  return static_cast<word>(sign | half);
}
