#include <cmath>
#include <cstring>
#include <random>

#include "check.h"
#include "kernel/kernels.h"

using namespace troupe::kernel;

namespace {

std::mt19937 generator(42);

std::vector<float> randoms(size_t count, float limit = 1) {
  std::uniform_real_distribution<float> uniform(-limit, limit);
  std::vector<float> values(count);
  for (auto& value : values) value = uniform(generator);
  return values;
}

std::vector<const Kernels*> available() {
  std::vector<const Kernels*> found;
  for (const char* name : {"portable", "avx2", "avx512"}) {
    if (const Kernels* set = kernelsNamed(name)) found.push_back(set);
  }
  return found;
}

bool near(double found, double expected, double scale) { return std::abs(found - expected) <= 1e-5 * (scale + std::abs(expected)); }

double halfValue(uint16_t bits) {
  const int exponent = (bits >> 10) & 31, fraction = bits & 1023;
  const double magnitude = exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, exponent - 25);
  return bits & 0x8000 ? -magnitude : magnitude;
}

double bfloatValue(uint16_t bits) {
  const uint32_t wide = static_cast<uint32_t>(bits) << 16;
  float value;
  std::memcpy(&value, &wide, sizeof value);
  return value;
}

}  // namespace

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

TEST("linear equals a sum in double precision for every weight type and odd shapes, and a token's bits do not depend on its batch") {
  for (const Kernels* set : available()) {
    for (DataType type : {DataType::Float32, DataType::Float16, DataType::BFloat16}) {
      for (size_t inputs : {1, 8, 31, 64, 100}) {
        for (size_t outputs : {1, 5, 12}) {
          for (size_t tokens : {1, 2, 7}) {
            const auto x = randoms(tokens * inputs), bias = randoms(outputs);
            std::vector<uint8_t> weight(outputs * inputs * bytesOf(type));
            std::vector<double> exact(outputs * inputs);
            const auto floats = randoms(outputs * inputs);
            for (size_t i = 0; i < exact.size(); i++) {
              if (type == DataType::Float32) {
                std::memcpy(weight.data() + i * 4, &floats[i], 4);
                exact[i] = floats[i];
                continue;
              }
              uint16_t bits = static_cast<uint16_t>(generator());
              bits = type == DataType::Float16 ? static_cast<uint16_t>((bits & 0x83ff) | 0x3800) : static_cast<uint16_t>((bits & 0x807f) | 0x3f00);
              std::memcpy(weight.data() + i * 2, &bits, 2);
              exact[i] = type == DataType::Float16 ? halfValue(bits) : bfloatValue(bits);
            }
            std::vector<float> y(tokens * outputs), alone(outputs);
            set->linear({x.data(), weight.data(), type, bias.data(), y.data(), tokens, inputs, outputs}, 0, outputs);
            for (size_t t = 0; t < tokens; t++) {
              for (size_t o = 0; o < outputs; o++) {
                double sum = bias[o];
                for (size_t k = 0; k < inputs; k++) sum += exact[o * inputs + k] * x[t * inputs + k];
                CHECK(near(y[t * outputs + o], sum, std::sqrt(static_cast<double>(inputs))));
              }
              set->linear({x.data() + t * inputs, weight.data(), type, bias.data(), alone.data(), 1, inputs, outputs}, 0, outputs);
              CHECK(std::memcmp(alone.data(), y.data() + t * outputs, outputs * sizeof(float)) == 0);
            }
          }
        }
      }
    }
  }
}

TEST("attention over scattered blocks equals a softmax in double precision, and its log-sum-exp is that of the scores") {
  constexpr size_t heads = 6, keyHeads = 2, headSize = 20, blockTokens = 16, blocks = 8, perSequence = 5, queries = 4;
  const auto query = randoms(queries * heads * headSize, 3), keys = randoms(blocks * keyHeads * blockTokens * headSize, 3),
             values = randoms(blocks * keyHeads * blockTokens * headSize);
  const int32_t tables[2 * perSequence] = {7, 2, 5, 0, 0, 1, 6, 3, 4, 0}, sequence[queries] = {0, 0, 1, 1};
  const int32_t begin[queries] = {0, 3, 17, 0}, end[queries] = {1, 40, 64, 0}, keyHeadOf[heads] = {0, 0, 0, 1, 1, 1};
  for (const Kernels* set : available()) {
    constexpr size_t row = heads * (headSize + 1);
    std::vector<float> out(queries * row);
    Attention op{query.data(), keys.data(), values.data(), sequence, begin, end, tables, keyHeadOf, out.data(),
                 heads, keyHeads, headSize, blockTokens, perSequence, 0.25f, true};
    set->attention(op, 0, queries * heads);
    for (size_t q = 0; q < queries; q++) {
      for (size_t h = 0; h < heads; h++) {
        const auto at = [&](const std::vector<float>& cache, int32_t token) {
          const size_t t = static_cast<size_t>(token), block = static_cast<size_t>(tables[static_cast<size_t>(sequence[q]) * perSequence + t / blockTokens]);
          return cache.data() + ((block * keyHeads + static_cast<size_t>(keyHeadOf[h])) * blockTokens + t % blockTokens) * headSize;
        };
        double total = 0;
        std::vector<double> expected(headSize);
        for (int32_t token = begin[q]; token < end[q]; token++) {
          double score = 0;
          for (size_t i = 0; i < headSize; i++) score += static_cast<double>(query[(q * heads + h) * headSize + i]) * at(keys, token)[i];
          const double weight = std::exp(score * 0.25);
          total += weight;
          for (size_t i = 0; i < headSize; i++) expected[i] += weight * at(values, token)[i];
        }
        const float logSumExp = out[q * row + heads * headSize + h];
        if (total == 0) CHECK(std::isinf(logSumExp) && logSumExp < 0);
        else CHECK(near(logSumExp, std::log(total), 1));
        for (size_t i = 0; i < headSize; i++) CHECK(near(out[q * row + h * headSize + i], total == 0 ? 0 : expected[i] / total, 1));
      }
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
