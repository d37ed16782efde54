#include "blocks_reference.h"

using namespace troupe::kernel;

namespace {

struct Shape {
  size_t tokens, inputs, outputs;
};

struct Case {
  DataType type;
  std::vector<uint8_t> weight;
  std::vector<double> exact;  // of the weight
  std::vector<float> x, bias, residual;
};

Case floatCase(DataType type, const Shape& shape) {
  const size_t count = shape.outputs * shape.inputs;
  Case made{type,
            std::vector<uint8_t>(rowBytes(type, count)),
            std::vector<double>(count),
            randoms(shape.tokens * shape.inputs),
            randoms(shape.outputs),
            randoms(shape.tokens * shape.outputs)};
  const auto floats = randoms(count);
  for (size_t i = 0; i < count; i++) {
    if (type == DataType::Float32) {
      std::memcpy(made.weight.data() + i * 4, &floats[i], 4);
      made.exact[i] = floats[i];
      continue;
    }
    auto bits = static_cast<uint16_t>(generator()());
    bits = type == DataType::Float16 ? static_cast<uint16_t>((bits & 0x83ff) | 0x3800) : static_cast<uint16_t>((bits & 0x807f) | 0x3f00);
    std::memcpy(made.weight.data() + i * 2, &bits, 2);
    made.exact[i] = type == DataType::Float16 ? halfValue(bits) : bfloatValue(bits);
  }
  return made;
}

/// Inputs are small integers times a power of two, the largest of each group being 127, so that they are quantized exactly.
Case quantizedCase(DataType type, const Shape& shape) {
  const size_t count = shape.outputs * shape.inputs;
  Case made{type,
            randomBlocks(type, count),
            std::vector<double>(count),
            std::vector<float>(shape.tokens * shape.inputs),
            randoms(shape.outputs),
            randoms(shape.tokens * shape.outputs)};
  const auto block = blockSizeOf(type);
  for (size_t i = 0; i < count; i++)
    made.exact[i] = blockValue(type, made.weight.data() + i / block.elements * block.bytes, i % block.elements);
  for (size_t i = 0; i < made.x.size(); i++) {
    const int integer = i % 32 == 5 ? 127 : static_cast<int>(generator()() % 255) - 127;
    made.x[i] = std::ldexp(static_cast<float>(integer), static_cast<int>(i / 32 % 5) - 9);
  }
  return made;
}

/// @param isPacked whether the weight is packed first, where its type can be
std::vector<float> multiply(const Kernels& set, const Case& made, const Shape& shape, size_t begin, size_t end, bool isPacked = false) {
  const auto& [tokens, inputs, outputs] = shape;
  std::vector<float> y(tokens * outputs);
  std::vector<uint8_t> prepared(set.preparedBytes(made.type, tokens, inputs)), panel(set.panelBytes(made.type, tokens, inputs));
  if (const size_t tile = set.preparedTile(made.type, tokens)) {
    set.prepare(made.x.data(), made.type, tokens, inputs, prepared.data(), 0, (tokens + tile - 1) / tile);
  }
  Linear op{made.x.data(), made.weight.data(), made.type, made.bias.data(), made.residual.data(), y.data(), outputs, tokens, inputs,
            outputs};
  std::vector<uint8_t> packed(isPacked ? set.packedBytes(made.type, outputs, inputs) : 0);
  if (!packed.empty()) {
    const size_t half = std::min(outputs, troupe::kernel::kPackedRows), rowBytes = made.weight.size() / outputs;
    set.pack(made.weight.data(), made.type, half, inputs, packed.data());
    set.pack(made.weight.data() + half * rowBytes, made.type, outputs - half, inputs,
             packed.data() + set.packedBytes(made.type, half, inputs));
    std::vector<uint8_t> row(rowBytes);
    for (size_t o = 0; o < outputs; o++) {
      set.unpackRow(packed.data(), made.type, o, inputs, row.data());
      CHECK(std::memcmp(row.data(), made.weight.data() + o * rowBytes, rowBytes) == 0);
    }
    op.packed = packed.data();
    op.weight = nullptr;
  }
  set.linear(op, prepared.data(), panel.data(), begin, end);
  return y;
}

void checkCase(const Kernels& set, const Case& made, const Shape& shape) {
  const auto& [tokens, inputs, outputs] = shape;
  const auto y = multiply(set, made, shape, 0, outputs);
  for (size_t t = 0; t < tokens; t++) {
    for (size_t o = 0; o < outputs; o++) {
      double sum = static_cast<double>(made.bias[o]) + made.residual[t * outputs + o], size = 0;
      for (size_t k = 0; k < inputs; k++) {
        const double term = made.exact[o * inputs + k] * made.x[t * inputs + k];
        sum += term;
        size += std::abs(term);
      }
      CHECK(near(y[t * outputs + o], sum, 0.05 * size + 1));
    }
  }
}

}  // namespace

TEST("linear equals a sum in double precision for every float type, with few tokens and many") {
  for (const Kernels* set : available()) {
    for (DataType type : {DataType::Float32, DataType::Float16, DataType::BFloat16}) {
      for (size_t inputs : {1, 31, 100, 1050}) {
        for (size_t outputs : {1, 5, 37, 50}) {
          for (size_t tokens : {1, 7, 13, 24}) checkCase(*set, floatCase(type, {tokens, inputs, outputs}), {tokens, inputs, outputs});
        }
      }
    }
  }
}

TEST("linear equals a sum in double precision for every quantized type, with few tokens and many") {
  for (const Kernels* set : available()) {
    for (DataType type : kQuantizedTypes) {
      for (size_t blocks : {1, 3, 5}) {
        const size_t inputs = blocks * (blockSizeOf(type).elements == 32 ? 7 * 32 : 256);
        for (size_t outputs : {1, 5, 37, 50}) {
          for (size_t tokens : {1, 3, 13, 18}) checkCase(*set, quantizedCase(type, {tokens, inputs, outputs}), {tokens, inputs, outputs});
        }
      }
    }
  }
}

TEST("quantizing inputs moves each by at most half a step of its group") {
  const Shape shape{1, 64, 1};
  for (const Kernels* set : available()) {
    Case made = quantizedCase(DataType::Q8_0, shape);
    made.x = randoms(64, 3);
    made.x[40] = 0;
    double sum = static_cast<double>(made.bias[0]) + made.residual[0], bound = 0;
    for (size_t k = 0; k < 64; k++) {
      float largest = 0;
      for (size_t i = k / 32 * 32; i < k / 32 * 32 + 32; i++) largest = std::max(largest, std::abs(made.x[i]));
      sum += made.exact[k] * made.x[k];
      bound += std::abs(made.exact[k]) * largest / 254;
    }
    CHECK(std::abs(multiply(*set, made, shape, 0, 1)[0] - sum) <= bound * 1.001);
    made.x.assign(64, 0.0f);
    CHECK(near(multiply(*set, made, shape, 0, 1)[0], static_cast<double>(made.bias[0]) + made.residual[0], 1));
  }
}

TEST("an output has the same bits whichever range of outputs it is computed in") {
  for (const Kernels* set : available()) {
    for (size_t tokens : {3, 20}) {
      const Shape shape{tokens, 256, 61};
      for (DataType type : {DataType::Float16, DataType::Q8_0, DataType::Q4_K}) {
        const Case made = isQuantized(type) ? quantizedCase(type, shape) : floatCase(type, shape);
        const auto whole = multiply(*set, made, shape, 0, 61);
        for (bool isPacked : {false, true}) {
          const auto part = multiply(*set, made, shape, 11, 40, isPacked);
          for (size_t t = 0; t < tokens; t++) CHECK(std::memcmp(&whole[t * 61 + 11], &part[t * 61 + 11], 29 * sizeof(float)) == 0);
        }
      }
    }
  }
}

TEST("a token's product has the same bits alone and among any number of others, with weights of every type, packed or not") {
  std::vector<DataType> types{DataType::Float32, DataType::Float16, DataType::BFloat16};
  types.insert(types.end(), std::begin(kQuantizedTypes), std::end(kQuantizedTypes));
  for (const Kernels* set : available()) {
    for (DataType type : types) {
      for (size_t inputs : {256, 1280, isQuantized(type) ? 512 : 77}) {
        const Shape many{30, inputs, 61};
        const Case made = isQuantized(type) ? quantizedCase(type, many) : floatCase(type, many);
        const auto all = multiply(*set, made, many, 0, 61);
        for (size_t tokens = 1; tokens < 30; tokens++) {
          const auto some = multiply(*set, made, {tokens, inputs, 61}, 0, 61);
          CHECK(std::memcmp(all.data(), some.data(), some.size() * sizeof(float)) == 0);
          const auto packed = multiply(*set, made, {tokens, inputs, 61}, 0, 61, true);
          CHECK(std::memcmp(all.data(), packed.data(), packed.size() * sizeof(float)) == 0);
        }
      }
    }
  }
}

TEST("what is no number in a token makes all of its products no numbers, with weights of every type, and leaves other tokens alone") {
  std::vector<DataType> types{DataType::Float32, DataType::Float16, DataType::BFloat16};
  types.insert(types.end(), std::begin(kQuantizedTypes), std::end(kQuantizedTypes));
  for (const Kernels* set : available()) {
    for (DataType type : types) {
      for (size_t tokens : {1, 3, 18}) {
        const Shape shape{tokens, 512, 37};
        for (const float poison : {NAN, HUGE_VALF, -HUGE_VALF}) {
          Case made = isQuantized(type) ? quantizedCase(type, shape) : floatCase(type, shape);
          const size_t poisoned = tokens / 2;
          made.x[poisoned * 512 + 300] = poison;
          const auto y = multiply(*set, made, shape, 0, 37);
          for (size_t i = 0; i < y.size(); i++) {
            if (i / 37 != poisoned)
              CHECK(std::isfinite(y[i]));
            else if (isQuantized(type) || std::isnan(poison))
              CHECK(std::isnan(y[i]));
            else
              CHECK(!std::isfinite(y[i]));
          }
        }
      }
    }
  }
}

TEST("every block of every quantized type widens to the value of its formula, rounded to float32") {
  for (const Kernels* set : available()) {
    for (DataType type : kQuantizedTypes) {
      const auto size = blockSizeOf(type);
      const size_t count = 64 * size.elements;
      const auto blocks = randomBlocks(type, count);
      std::vector<float> wide(count);
      set->toFloat(blocks.data(), type, wide.data(), count);
      for (size_t i = 0; i < count; i++) {
        CHECK(wide[i] == static_cast<float>(blockValue(type, blocks.data() + i / size.elements * size.bytes, i % size.elements)));
      }
    }
  }
}
