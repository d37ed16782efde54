#include "kernel_support.h"

using namespace troupe::kernel;

TEST("every finite float16 and bfloat16 widens to its exact value") {
  std::vector<uint16_t> bits;
  for (uint32_t i = 0; i < 65536; i++) bits.push_back(static_cast<uint16_t>(i));
  std::vector<float> wide(bits.size());
  for (const Kernels* set : available()) {
    set->toFloat(reinterpret_cast<uint8_t*>(bits.data()), DataType::Float16, wide.data(), bits.size());
    for (size_t i = 0; i < bits.size(); i++) {
      if (((i >> 10) & 31) == 31) CHECK(!std::isfinite(wide[i]));
      else CHECK(wide[i] == halfValue(bits[i]));
    }
    set->toFloat(reinterpret_cast<uint8_t*>(bits.data()), DataType::BFloat16, wide.data(), bits.size());
    for (size_t i = 0; i < bits.size(); i++) {
      if (((i >> 7) & 255) != 255) CHECK(wide[i] == bfloatValue(bits[i]));
    }
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
