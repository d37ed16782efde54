#include "kernel_support.h"

using namespace troupe::kernel;

TEST("every finite float16 and bfloat16 widens to its exact value") {
  std::vector<uint16_t> bits;
  for (uint32_t i = 0; i < 65536; i++) bits.push_back(static_cast<uint16_t>(i));
  std::vector<float> wide(bits.size());
  for (const Kernels* set : available()) {
    set->toFloat(reinterpret_cast<uint8_t*>(bits.data()), DataType::Float16, wide.data(), bits.size());
    for (size_t i = 0; i < bits.size(); i++) {
      if (((i >> 10) & 31) == 31)
        CHECK(!std::isfinite(wide[i]));
      else
        CHECK(wide[i] == halfValue(bits[i]));
    }
    set->toFloat(reinterpret_cast<uint8_t*>(bits.data()), DataType::BFloat16, wide.data(), bits.size());
    for (size_t i = 0; i < bits.size(); i++) {
      if (((i >> 7) & 255) != 255) CHECK(wide[i] == bfloatValue(bits[i]));
    }
  }
}

TEST("floats round to the nearest float16 and bfloat16, ties to even, and too large ones to infinity") {
  std::vector<float> x;
  for (uint32_t bits = 0; bits < 65536; bits += 7) {
    const double low = halfValue(static_cast<uint16_t>(bits)), high = halfValue(static_cast<uint16_t>(bits + 1));
    if (!std::isfinite(low) || ((bits >> 10) & 31) == 31 || (bits & 0x7fff) >= 0x7bff) continue;
    for (const double part : {0.0, 0.25, 0.5, 0.75}) x.push_back(static_cast<float>(low + (high - low) * part));
  }
  const size_t finite = x.size();
  for (const float large : {65519.0f, 65520.0f, -1e9f, HUGE_VALF, NAN}) x.push_back(large);
  for (const Kernels* set : available()) {
    std::vector<uint16_t> halves(x.size()), bfloats(x.size());
    set->fromFloat(x.data(), DataType::Float16, reinterpret_cast<uint8_t*>(halves.data()), x.size());
    set->fromFloat(x.data(), DataType::BFloat16, reinterpret_cast<uint8_t*>(bfloats.data()), x.size());
    for (size_t i = 0; i < finite; i++) {
      const double error = std::abs(halfValue(halves[i]) - x[i]);
      for (const int step : {-1, 1}) {
        const auto neighbour = static_cast<uint16_t>(halves[i] + step);
        const double other = std::abs(halfValue(neighbour) - x[i]);
        CHECK(error < other || (error == other && halves[i] % 2 == 0));
      }
      CHECK(std::abs(bfloatValue(bfloats[i]) - x[i]) <= std::abs(static_cast<double>(x[i])) / 256);
    }
    CHECK(halves[finite] == 0x7bff && halves[finite + 1] == 0x7c00 && halves[finite + 2] == 0xfc00 && halves[finite + 3] == 0x7c00);
    CHECK((halves[finite + 4] & 0x7c00) == 0x7c00 && (halves[finite + 4] & 0x3ff) != 0);
  }
}

TEST("norms, rotations and gates equal their formulas in double precision") {
  for (const Kernels* set : available()) {
    for (size_t columns : {2, 10, 48, 100}) {
      const size_t rows = 3;
      const auto x = randoms(rows * columns, 4), weight = randoms(columns), up = randoms(rows * columns);
      std::vector<float> y(rows * columns);
      set->rmsNorm(x.data(), weight.data(), y.data(), rows, columns, 1e-5f);
      for (size_t r = 0; r < rows; r++) {
        double squares = 0;
        for (size_t i = 0; i < columns; i++) squares += static_cast<double>(x[r * columns + i]) * x[r * columns + i];
        const double factor = 1 / std::sqrt(squares / static_cast<double>(columns) + 1e-5);
        for (size_t i = 0; i < columns; i++) CHECK(near(y[r * columns + i], x[r * columns + i] * factor * weight[i], 1));
      }
      set->siluMultiply(x.data(), up.data(), y.data(), y.size());
      for (size_t i = 0; i < y.size(); i++) CHECK(near(y[i], x[i] / (1 + std::exp(-static_cast<double>(x[i]))) * up[i], 1));
      const auto table = randoms(rows * columns);
      set->rotate(x.data(), table.data(), y.data(), rows, 1, columns);
      for (size_t r = 0; r < rows; r++) {
        for (size_t i = 0; i < columns / 2; i++) {
          const size_t a = r * columns + i, b = a + columns / 2;
          CHECK(near(y[a], static_cast<double>(x[a]) * table[a] - static_cast<double>(x[b]) * table[b], 1));
          CHECK(near(y[b], static_cast<double>(x[b]) * table[a] + static_cast<double>(x[a]) * table[b], 1));
        }
      }
    }
  }
}

TEST("gates of very large and very small values stay finite") {
  const std::vector<float> gate{-200, -90, -88, 0, 88, 90, 200, 1e-30f}, up(8, 1.0f);
  for (const Kernels* set : available()) {
    std::vector<float> y(8);
    set->siluMultiply(gate.data(), up.data(), y.data(), y.size());
    for (size_t i = 0; i < y.size(); i++) CHECK(std::isfinite(y[i]));
    CHECK(y[6] == 200 && std::abs(y[0]) < 1e-30);
  }
}
