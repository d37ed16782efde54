#include "channel/scalar.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "check.h"

using namespace troupe::channel;

namespace {

bool survives(double number) {
  uint8_t bytes[kMostScalarBytes];
  const size_t packed = packScalar({Scalar::kNumber, number}, bytes);
  Scalar scalar{Scalar::kNull};
  if (!unpackScalar(bytes, packed, &scalar) || scalar.kind != Scalar::kNumber) return false;
  if (std::isnan(number)) return std::isnan(scalar.number);
  return scalar.number == number && std::signbit(scalar.number) == std::signbit(number);
}

bool reads(std::vector<uint8_t> bytes, double number) {
  Scalar scalar{Scalar::kNull};
  return unpackScalar(bytes.data(), bytes.size(), &scalar) && scalar.kind == Scalar::kNumber && scalar.number == number;
}

}  // namespace

TEST("every number survives the way through a message, with its sign") {
  for (const double number :
       {0.0, -0.0, 1.0, -1.0, 127.0, 128.0, -32.0, -33.0, 255.5, 2147483647.0, 2147483648.0, -2147483648.0, -2147483649.0, 1e300, 5e-324,
        std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity(), std::nan("")}) {
    CHECK(survives(number));
  }
  std::mt19937_64 random(3);
  for (int i = 0; i < 100'000; i++) {
    const uint64_t bits = random();
    double number;
    std::memcpy(&number, &bits, sizeof number);
    CHECK(survives(number));
    CHECK(survives(static_cast<double>(static_cast<int64_t>(bits) >> (bits & 63))));
  }
}

TEST("numbers are read in every form that msgpack gives them, and other values are left alone") {
  CHECK(reads({0x7f}, 127) && reads({0xe0}, -32) && reads({0xff}, -1) && reads({0xcc, 0xff}, 255) && reads({0xcd, 0x12, 0x34}, 0x1234));
  CHECK(reads({0xce, 0xff, 0xff, 0xff, 0xff}, 4294967295.0) && reads({0xd0, 0x80}, -128) && reads({0xd1, 0x80, 0x00}, -32768));
  CHECK(reads({0xd2, 0xff, 0xff, 0xff, 0xfe}, -2) && reads({0xcb, 0x3f, 0xf8, 0, 0, 0, 0, 0, 0}, 1.5));
  Scalar scalar{Scalar::kNull};
  for (const std::vector<uint8_t>& other : std::vector<std::vector<uint8_t>>{
           {}, {0x80}, {0x90}, {0xa1, 'a'}, {0xa0}, {0xc1}, {0xcc}, {0xcd, 1}, {0xc4, 0}, {0xcf, 0, 0, 0, 0, 0, 0, 0, 1}, {0x01, 0x02}}) {
    CHECK(!unpackScalar(other.data(), other.size(), &scalar));
  }
}
