// Every kernel of GPUs against its formula in double precision.
#include <algorithm>
#include <limits>

#include "blocks_reference.h"
#include "gpu_kernels.h"
#include "kernel/cuda/kernels.h"

using namespace troupe::cuda;
using Type = troupe::kernel::DataType;
using troupe::kernel::blockSizeOf;
using troupe::kernel::cachedBytes;
using troupe::kernel::isQuantized;
using troupe::kernel::rowBytes;

namespace {

/// What tests of kernels share: the GPU, a stream, and the word that tells of wrong indices.
struct Bench {
  Bench() : gpu(testGpu()), kernels(gpu, noCache()), stream(gpu), word(gpu, {0}) {}

  ErrorWord error(uint32_t operation = 0) const { return {word.data(), operation}; }
  template <class T>
  GpuVector<T> on(const std::vector<T>& elements) const {
    return GpuVector<T>(gpu, elements);
  }
  /// Memory for a result, which holds what is no result.
  GpuVector<float> poisoned(size_t count) const { return GpuVector<float>(gpu, std::vector<float>(count, NAN)); }
  std::vector<float> read(const GpuVector<float>& y) const {
    finish(stream);
    return y.read();
  }

  const std::shared_ptr<Gpu> gpu;
  Kernels kernels;
  Stream stream;
  GpuVector<uint32_t> word;
};

/// A matrix of a type, and its elements.
struct Weights {
  Weights(Type type, size_t rows, size_t columns) : type(type), columns(columns) {
    if (isQuantized(type)) {
      bytes = randomBlocks(type, rows * columns);
      return;
    }
    const auto values = randoms(rows * columns);
    bytes.resize(rowBytes(type, values.size()));
    troupe::kernel::kernels().fromFloat(values.data(), type, bytes.data(), values.size());
  }
  double at(size_t row, size_t column) const {
    const uint8_t* from = bytes.data() + row * rowBytes(type, columns);
    const auto size = blockSizeOf(type);
    if (size.elements == 1) return plainValue(type, from, column);
    return blockValue(type, from + column / size.elements * size.bytes, column % size.elements);
  }

  Type type;
  size_t columns;
  std::vector<uint8_t> bytes;
};

std::vector<Type> weightTypes() {
  std::vector<Type> types{Type::Float32, Type::Float16, Type::BFloat16};
  types.insert(types.end(), std::begin(kQuantizedTypes), std::end(kQuantizedTypes));
  return types;
}

int32_t pick(int32_t below) { return static_cast<int32_t>(generator()() % static_cast<uint32_t>(below)); }

}  // namespace

TEST("embeddings on a GPU are the table's rows, of every type of weight, and zeros outside of the shard") {
  Bench bench;
  for (const Type type : weightTypes()) {
    const int rows = 5, columns = isQuantized(type) ? 512 : 37, start = 3;
    const Weights table(type, rows, static_cast<size_t>(columns));
    for (const auto& tokens : {std::vector<int32_t>{}, {3, 7, 2, 8, 5, -2147483647}}) {
      const auto ids = bench.on(tokens);
      const auto stored = bench.on(table.bytes);
      const auto y = bench.poisoned(tokens.size() * static_cast<size_t>(columns));
      bench.kernels.embedding(bench.stream, ids.data(), stored.data(), type, y.data(), static_cast<int>(tokens.size()), rows, columns,
                              start);
      const auto found = bench.read(y);
      for (size_t i = 0; i < found.size(); i++) {
        const int64_t row = static_cast<int64_t>(tokens[i / static_cast<size_t>(columns)]) - start;
        const double expected = row < 0 || row >= rows ? 0 : table.at(static_cast<size_t>(row), i % static_cast<size_t>(columns));
        CHECK(near(found[i], expected, 0));
      }
    }
  }
}

TEST("products on a GPU equal their sums in double precision, for every type of weight, few tokens and many") {
  Bench bench;
  for (const Type type : weightTypes()) {
    for (const auto& [tokens, inputs, outputs] : {std::array<size_t, 3>{0, 256, 8}, {1, 512, 6}, {9, 256, 67}, {67, 256, 65}}) {
      const size_t width = isQuantized(type) ? inputs : inputs - 13;
      const Weights weight(type, outputs, width);
      const auto x = randoms(tokens * width), bias = randoms(outputs), residual = randoms(tokens * outputs);
      const auto xOn = bench.on(x), biasOn = bench.on(bias), residualOn = bench.on(residual);
      const auto weightOn = bench.on(weight.bytes);
      for (const bool hasMore : {false, true}) {
        const auto y = bench.poisoned(tokens * outputs);
        bench.kernels.linear(bench.stream, xOn.data(), weightOn.data(), type, hasMore ? biasOn.data() : nullptr,
                             hasMore ? residualOn.data() : nullptr, y.data(), static_cast<int>(tokens), static_cast<int>(width),
                             static_cast<int>(outputs));
        const auto found = bench.read(y);
        for (size_t i = 0; i < found.size(); i++) {
          const size_t token = i / outputs, output = i % outputs;
          double expected = hasMore ? static_cast<double>(bias[output]) + residual[i] : 0, size = 1;
          for (size_t k = 0; k < width; k++) {
            const double term = x[token * width + k] * weight.at(output, k);
            expected += term;
            size += std::abs(term);
          }
          CHECK(near(found[i], expected, size));
        }
      }
    }
  }
}

TEST("norms, sums, gates and rotations on a GPU equal their formulas in double precision") {
  Bench bench;
  for (const auto& [rows, heads, size] : {std::array<size_t, 3>{0, 1, 2}, {1, 1, 2}, {3, 2, 50}, {5, 3, 334}}) {
    const size_t columns = heads * size, count = rows * columns;
    const int n = static_cast<int>(rows);
    const auto x = randoms(count, 4), up = randoms(count), weight = randoms(size), frequencies = randoms(size / 2);
    std::vector<int32_t> positions(rows);
    for (auto& position : positions) position = pick(4000);
    const auto xOn = bench.on(x), upOn = bench.on(up), weightOn = bench.on(weight), frequenciesOn = bench.on(frequencies);
    const auto positionsOn = bench.on(positions);
    const auto norm = bench.poisoned(count), sum = bench.poisoned(count), gated = bench.poisoned(count), turned = bench.poisoned(count),
               table = bench.poisoned(rows * size);
    bench.kernels.rmsNorm(bench.stream, xOn.data(), weightOn.data(), norm.data(), n * static_cast<int>(heads), static_cast<int>(size),
                          1e-5f);
    bench.kernels.add(bench.stream, xOn.data(), upOn.data(), sum.data(), count);
    bench.kernels.siluMultiply(bench.stream, xOn.data(), upOn.data(), gated.data(), count);
    bench.kernels.rotaryTable(bench.stream, positionsOn.data(), frequenciesOn.data(), table.data(), n, static_cast<int>(size / 2), 1.5f);
    bench.kernels.rotate(bench.stream, xOn.data(), table.data(), turned.data(), n, static_cast<int>(columns), static_cast<int>(size));
    const auto norms = bench.read(norm), sums = sum.read(), gates = gated.read(), turns = turned.read(), tables = table.read();
    for (size_t i = 0; i < count; i++) {
      const size_t row = i / columns, head = i / size, place = i % size, half = size / 2;
      double squares = 0;
      for (size_t k = 0; k < size; k++) squares += static_cast<double>(x[head * size + k]) * x[head * size + k];
      CHECK(near(norms[i], x[i] / std::sqrt(squares / static_cast<double>(size) + 1e-5) * weight[place], 1));
      CHECK(near(sums[i], static_cast<double>(x[i]) + up[i], 0));
      CHECK(near(gates[i], x[i] / (1 + std::exp(-static_cast<double>(x[i]))) * up[i], 1));
      const double cosine = tables[row * size + place % half], sine = tables[row * size + half + place % half];
      const float angle = static_cast<float>(positions[row]) * frequencies[place % half];  // in float32, as models were trained
      CHECK(near(cosine, std::cos(static_cast<double>(angle)) * 1.5, 1) && near(sine, std::sin(static_cast<double>(angle)) * 1.5, 1));
      const double other = place < half ? -static_cast<double>(x[i + half]) : x[i - half];
      CHECK(near(turns[i], x[i] * cosine + other * sine, 4));
    }
  }
}

TEST("a GPU stores in a cache what the CPU does, bit for bit") {
  Bench bench;
  for (const Type type : kCacheTypes) {
    for (const bool areKeys : {false, true}) {
      const int keyHeads = 3, headSize = 34, blockTokens = 5, blocks = 4;
      TestCache cache(type, areKeys, blocks, keyHeads, headSize, blockTokens);
      std::fill(cache.bytes.begin(), cache.bytes.end(), uint8_t{0x5a});
      const std::vector<int32_t> slots{19, 0, 7, 11, 12};
      auto x = randoms(slots.size() * keyHeads * headSize, 3);
      std::fill(x.begin(), x.begin() + headSize, 0.0f);
      x[headSize] = HUGE_VALF;
      const auto xOn = bench.on(x);
      const auto slotsOn = bench.on(slots);
      const auto cacheOn = bench.on(cache.bytes);
      cache.store(*troupe::kernel::portableKernels(), x, slots);
      bench.kernels.cacheStore(bench.stream, xOn.data(), slotsOn.data(), cacheOn.data(), type, static_cast<int>(slots.size()), keyHeads,
                               headSize, blockTokens, blocks, areKeys, bench.error());
      finish(bench.stream);
      const auto found = cacheOn.read();
      for (int slot = 0; slot < blocks * blockTokens; slot++) {
        TestCache read = cache;
        read.bytes = found;
        for (size_t head = 0; head < keyHeads; head++) {
          for (size_t i = 0; i < headSize; i++) {
            const double a = read.at(slot, head, i), b = cache.at(slot, head, i);
            CHECK(a == b || (std::isnan(a) && std::isnan(b)));
          }
        }
      }
    }
  }
  CHECK(bench.word.read()[0] == 0);
}

TEST("attention on a GPU equals a softmax in double precision, over scattered blocks of every type, with windows and without tokens") {
  Bench bench;
  for (const Type type : kCacheTypes) {
    for (const auto& [queries, heads, headSize, blockTokens] :
         {std::array<int, 4>{0, 1, 8, 16}, {3, 4, 8, 16}, {4, 2, 7, 5}, {5, 3, 130, 32}}) {
      const int keyHeads = (heads + 1) / 2, blocksPerSequence = 600 / blockTokens, sequences = 2, blocks = sequences * blocksPerSequence;
      const auto u = [](int value) { return static_cast<size_t>(value); };
      TestCache keys(type, true, u(blocks), u(keyHeads), u(headSize), u(blockTokens)),
          values(type, false, u(blocks), u(keyHeads), u(headSize), u(blockTokens));
      keys.randomize(1);
      values.randomize(1);
      std::vector<int32_t> tables(u(blocks)), sequence, begin, end, keyHeadOf;
      std::iota(tables.begin(), tables.end(), 0);
      std::shuffle(tables.begin(), tables.end(), generator());
      for (int head = 0; head < heads; head++) keyHeadOf.push_back(head / 2);
      const int spans[][2] = {{0, 1}, {0, 560}, {100, 300}, {7, 7}, {256, 512}};
      for (int i = 0; i < queries; i++) {
        sequence.push_back(i % sequences);
        begin.push_back(spans[i][0]);
        end.push_back(spans[i][1]);
      }
      const auto query = randoms(u(queries * heads * headSize), 2);
      const float scale = 0.3f;
      const AttentionShape shape{queries, heads, keyHeads, headSize, blockTokens, blocksPerSequence, sequences, blocks, scale};
      const auto queryOn = bench.on(query);
      const auto keysOn = bench.on(keys.bytes), valuesOn = bench.on(values.bytes);
      const auto sequenceOn = bench.on(sequence), beginOn = bench.on(begin), endOn = bench.on(end), tablesOn = bench.on(tables),
                 keyHeadOfOn = bench.on(keyHeadOf);
      const auto parts = bench.poisoned(Kernels::attentionFloats(shape)), y = bench.poisoned(query.size());
      bench.kernels.attention(bench.stream, queryOn.data(), keysOn.data(), valuesOn.data(), type, sequenceOn.data(), beginOn.data(),
                              endOn.data(), tablesOn.data(), keyHeadOfOn.data(), parts.data(), y.data(), shape, bench.error());
      const auto found = bench.read(y);
      for (int at = 0; at < queries; at++) {
        for (int head = 0; head < heads; head++) {
          const float* own = query.data() + u((at * heads + head) * headSize);
          const auto slotOf = [&](int token) {
            return tables[u(sequence[u(at)] * blocksPerSequence + token / blockTokens)] * blockTokens + token % blockTokens;
          };
          std::vector<double> weights, sums(u(headSize));
          double total = 0;
          for (int token = begin[u(at)]; token < end[u(at)]; token++) {
            double score = 0;
            for (int k = 0; k < headSize; k++) score += own[k] * keys.at(slotOf(token), u(keyHeadOf[u(head)]), u(k));
            weights.push_back(std::exp(score * scale));
            total += weights.back();
            for (int k = 0; k < headSize; k++) sums[u(k)] += weights.back() * values.at(slotOf(token), u(keyHeadOf[u(head)]), u(k));
          }
          for (int k = 0; k < headSize; k++)
            CHECK(near(found[u((at * heads + head) * headSize + k)], total == 0 ? 0 : sums[u(k)] / total, 1));
        }
      }
    }
  }
  CHECK(bench.word.read()[0] == 0);
}

TEST("rows on a GPU are gathered, scattered, resolved and counted by their indices, and an index out of bounds is told of") {
  Bench bench;
  const int columns = 70, rows = 6;
  const auto x = randoms(rows * columns);
  const std::vector<int32_t> indices{5, 0, 5, 3}, targets{2, -1, 2, 0};
  const auto xOn = bench.on(x);
  const auto indicesOn = bench.on(indices), targetsOn = bench.on(targets);
  const auto y = bench.poisoned(indices.size() * columns), table = bench.poisoned(rows * columns);
  bench.kernels.gatherRows(bench.stream, xOn.data(), indicesOn.data(), y.data(), 4, rows, columns, bench.error());
  bench.kernels.scatterRows(bench.stream, xOn.data(), targetsOn.data(), table.data(), 4, rows, columns, bench.error());
  const auto gathered = bench.read(y), scattered = table.read();
  for (size_t i = 0; i < gathered.size(); i++) CHECK(gathered[i] == x[static_cast<size_t>(indices[i / columns]) * columns + i % columns]);
  for (size_t i = 0; i < scattered.size(); i++) {
    const size_t row = i / columns, place = i % columns;
    if (row == 0 || row == 2)
      CHECK(scattered[i] == x[(row == 0 ? 3 : 2) * columns + place]);
    else
      CHECK(std::isnan(scattered[i]));
  }

  const auto looked = bench.on<int32_t>({7, -1, -3, 0}), entries = bench.on<int32_t>({40, 50, 60}),
             resolved = bench.on<int32_t>({-9, -9, -9, -9});
  bench.kernels.resolve(bench.stream, looked.data(), entries.data(), resolved.data(), 4, 3, bench.error());
  const auto tokens = bench.on<int32_t>({1, 1, -1, 2, 0}), of = bench.on<int32_t>({0, 0, 0, -1, 1});
  const auto counts = bench.on<int32_t>({0, 1 << 30, 0, (1 << 30) - 1, 0, 0});
  bench.kernels.countTokens(bench.stream, tokens.data(), of.data(), counts.data(), 5, 2, 3, bench.error());
  finish(bench.stream);
  CHECK((resolved.read() == std::vector<int32_t>{7, 40, 60, 0}));
  CHECK((counts.read() == std::vector<int32_t>{0, (1 << 30) + 2, 0, (1 << 30) - 1, 0, 0}));
  CHECK(bench.word.read()[0] == 0);

  const auto outside = bench.on<int32_t>({1, 1000000, 2, 3});
  bench.kernels.gatherRows(bench.stream, xOn.data(), outside.data(), y.data(), 4, rows, columns, bench.error(6));
  bench.kernels.resolve(bench.stream, looked.data(), entries.data(), resolved.data(), 4, 2, bench.error(8));
  finish(bench.stream);
  CHECK(bench.word.read()[0] == 7);
}

TEST("logarithms of probabilities on a GPU equal those in double precision, and its likeliest tokens are in order") {
  Bench bench;
  for (const size_t columns : {size_t{1}, size_t{7}, size_t{700}}) {
    const size_t rows = 3, foundColumns = 11;
    auto logits = randoms(rows * columns, 8);
    for (auto& logit : logits) logit = std::round(logit * 4) / 4;  // some are equal
    const std::vector<int32_t> tokens{0, -1, static_cast<int32_t>(columns) - 1}, wanted{5, 1, -1};
    const auto logitsOn = bench.on(logits);
    const auto tokensOn = bench.on(tokens), wantedOn = bench.on(wanted);
    const auto y = bench.poisoned(rows * foundColumns);
    bench.kernels.logProbs(bench.stream, logitsOn.data(), tokensOn.data(), wantedOn.data(), y.data(), static_cast<int>(rows),
                           static_cast<int>(columns), static_cast<int>(foundColumns), bench.error());
    const auto found = bench.read(y);
    for (size_t row = 0; row < rows; row++) {
      const float *own = logits.data() + row * columns, *to = found.data() + row * foundColumns;
      double total = 0;
      for (size_t i = 0; i < columns; i++) total += std::exp(static_cast<double>(own[i]));
      std::vector<int32_t> order(columns);
      std::iota(order.begin(), order.end(), 0);
      std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) { return own[a] > own[b]; });
      const size_t most = wanted[row] < 0 ? 0 : std::min(static_cast<size_t>(wanted[row]), columns);
      if (wanted[row] >= 0) CHECK(near(to[0], tokens[row] < 0 ? 0 : own[tokens[row]] - std::log(total), 1));
      for (size_t i = 0; i < most; i++) {
        CHECK(to[1 + 2 * i] == static_cast<float>(order[i]));
        CHECK(near(to[2 + 2 * i], own[order[i]] - std::log(total), 1));
      }
      for (size_t i = wanted[row] < 0 ? 0 : 1 + 2 * most; i < foundColumns; i++) CHECK(std::isnan(to[i]));
    }
  }
}
