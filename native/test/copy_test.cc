#include "memory/copy.h"

#include <cstring>
#include <random>
#include <vector>

#include "check.h"

TEST("bytes of any number and alignment are copied, and none beside them") {
  std::mt19937 random(7);
  std::vector<uint8_t> from((size_t{40} << 20) + 100), to(from.size());
  for (size_t i = 0; i + 4 <= from.size(); i += 4) {
    const uint32_t word = random();
    std::memcpy(&from[i], &word, sizeof word);
  }
  for (const size_t bytes :
       {size_t{0}, size_t{1}, size_t{4095}, (size_t{16} << 20) - 1, size_t{16} << 20, (size_t{24} << 20) + 4097, size_t{40} << 20}) {
    const size_t fromOffset = random() % 64, toOffset = 1 + random() % 63;
    for (const auto copy : {troupe::copyBytes, troupe::streamBytes}) {
      std::fill(to.begin(), to.end(), uint8_t{0xa5});
      copy(to.data() + toOffset, from.data() + fromOffset, bytes);
      CHECK(bytes == 0 || std::memcmp(to.data() + toOffset, from.data() + fromOffset, bytes) == 0);
      CHECK(to[toOffset - 1] == 0xa5);
      CHECK(to[toOffset + bytes] == 0xa5);
    }
  }
}
