#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace troupe::channel {

/// A number, a truth value or null, as the only thing in a message. Its bytes are those of msgpack, so that any reader of
/// messages understands them (https://github.com/msgpack/msgpack/blob/master/spec.md).
struct Scalar {
  enum Kind { kNull, kFalse, kTrue, kNumber };
  Kind kind;
  double number = 0;
};

constexpr size_t kMostScalarBytes = 9;

/// Writes a scalar to `at`, which has kMostScalarBytes; returns how many it took.
inline size_t packScalar(const Scalar& scalar, uint8_t* at) {
  const auto bigEndian = [at](uint8_t mark, uint64_t bits, size_t bytes) {
    at[0] = mark;
    for (size_t i = 0; i < bytes; i++) at[1 + i] = static_cast<uint8_t>(bits >> (8 * (bytes - 1 - i)));
    return 1 + bytes;
  };
  switch (scalar.kind) {
    case Scalar::kNull: at[0] = 0xc0; return 1;
    case Scalar::kFalse: at[0] = 0xc2; return 1;
    case Scalar::kTrue: at[0] = 0xc3; return 1;
    case Scalar::kNumber: break;
  }
  const double number = scalar.number;
  if (number >= -32 && number < 128 && number == std::floor(number) && !(number == 0 && std::signbit(number))) {
    at[0] = static_cast<uint8_t>(static_cast<int8_t>(number));
    return 1;
  }
  if (number >= INT32_MIN && number <= INT32_MAX && number == std::floor(number) && number != 0) {
    return bigEndian(0xd2, static_cast<uint32_t>(static_cast<int32_t>(number)), 4);
  }
  uint64_t bits;
  std::memcpy(&bits, &number, sizeof bits);
  return bigEndian(0xcb, bits, 8);
}

/// Reads a message that is a scalar; false for any other.
inline bool unpackScalar(const uint8_t* data, size_t bytes, Scalar* scalar) {
  if (bytes == 0 || bytes > kMostScalarBytes) return false;
  const uint8_t mark = data[0];
  const size_t payload = bytes - 1;
  uint64_t bits = 0;
  for (size_t i = 1; i < bytes; i++) bits = bits << 8 | data[i];
  const auto is = [&](double number) {
    *scalar = {Scalar::kNumber, number};
    return true;
  };
  if (payload == 0) {
    switch (mark) {
      case 0xc0: *scalar = {Scalar::kNull}; return true;
      case 0xc2: *scalar = {Scalar::kFalse}; return true;
      case 0xc3: *scalar = {Scalar::kTrue}; return true;
      default: break;
    }
    if (mark < 0x80 || mark >= 0xe0) return is(static_cast<int8_t>(mark));
    return false;
  }
  // Of the eight bytes of whole numbers a double holds too few; nobody writes them for numbers.
  if (mark == 0xcc && payload == 1) return is(static_cast<double>(bits));
  if (mark == 0xcd && payload == 2) return is(static_cast<double>(bits));
  if (mark == 0xce && payload == 4) return is(static_cast<double>(bits));
  if (mark == 0xd0 && payload == 1) return is(static_cast<int8_t>(bits));
  if (mark == 0xd1 && payload == 2) return is(static_cast<int16_t>(bits));
  if (mark == 0xd2 && payload == 4) return is(static_cast<int32_t>(bits));
  if (mark == 0xcb && payload == 8) {
    double number;
    std::memcpy(&number, &bits, sizeof number);
    return is(number);
  }
  return false;
}

}  // namespace troupe::channel
