#include "kernel_support.h"
#include "program/paged_attention.h"

using namespace troupe::kernel;

namespace {

constexpr size_t heads = 6, keyHeads = 2, blocks = 20, perSequence = 10;
const int32_t tables[2 * perSequence] = {7, 2, 5, 10, 11, 12, 13, 14, 15, 0, 0, 1, 6, 3, 4, 16, 17, 18, 19, 8};
const int32_t keyHeadOf[heads] = {0, 0, 0, 1, 1, 1};
const HeadGroup groups[] = {{0, 3}, {3, 6}};

/// Whole vectors of every instruction set, and of some or none.
constexpr size_t kBlockTokens[] = {16, 18, 24, 32};

/// Queries over a cache of random blocks.
struct Fixture {
  Fixture(DataType type, size_t headSize, size_t blockTokens, std::vector<int32_t> sequence, std::vector<int32_t> begin,
          std::vector<int32_t> end)
      : type(type), headSize(headSize), blockTokens(blockTokens), queries(sequence.size()), query(randoms(queries * heads * headSize, 3)),
        keys(type, true, blocks, keyHeads, headSize, blockTokens), values(type, false, blocks, keyHeads, headSize, blockTokens),
        sequence(std::move(sequence)), begin(std::move(begin)), end(std::move(end)), out(queries * heads * (headSize + 1)) {
    keys.randomize(3);
    values.randomize(1);
    op = {query.data(),
          keys.bytes.data(),
          values.bytes.data(),
          type,
          this->sequence.data(),
          this->begin.data(),
          this->end.data(),
          tables,
          keyHeadOf,
          out.data(),
          queries,
          heads,
          keyHeads,
          headSize,
          blockTokens,
          perSequence,
          0.25f,
          true};
  }

  int32_t slotOf(int32_t sequence, int32_t token) const {
    const auto tokens = static_cast<int32_t>(blockTokens);
    return tables[sequence * static_cast<int32_t>(perSequence) + token / tokens] * tokens + token % tokens;
  }

  /// The attention of a (query, head) pair, then its log-sum-exp, in double precision.
  std::vector<double> expected(size_t q, size_t h) const {
    const auto at = [&](const TestCache& cache, int32_t token, size_t i) {
      return cache.at(slotOf(sequence[q], token), static_cast<size_t>(keyHeadOf[h]), i);
    };
    double total = 0;
    std::vector<double> found(headSize + 1);
    for (int32_t token = begin[q]; token < end[q]; token++) {
      double score = 0;
      for (size_t i = 0; i < headSize; i++) score += static_cast<double>(query[(q * heads + h) * headSize + i]) * at(keys, token, i);
      const double weight = std::exp(score * 0.25);
      total += weight;
      for (size_t i = 0; i < headSize; i++) found[i] += weight * at(values, token, i);
    }
    for (size_t i = 0; i < headSize && total > 0; i++) found[i] /= total;
    found[headSize] = std::log(total);
    return found;
  }

  void check(size_t q, size_t h, const float* attended, float logSumExp) const {
    const auto exact = expected(q, h);
    for (size_t i = 0; i < headSize; i++) CHECK(near(attended[i], exact[i], 2));
    if (std::isinf(exact[headSize]))
      CHECK(std::isinf(logSumExp) && logSumExp < 0);
    else
      CHECK(near(logSumExp, exact[headSize], 2));
  }

  DataType type;
  size_t headSize, blockTokens, queries;
  std::vector<float> query;
  TestCache keys, values;
  std::vector<int32_t> sequence, begin, end;
  std::vector<float> out;
  Attention op;
};

/// Attention of one query, of the tokens in as many parts as they can be divided into.
void attendOne(const Kernels& set, const Attention& op, size_t q, const HeadGroup& group, uint8_t* scratch) {
  const size_t stride = (group.end - group.begin) * set.partStride(op.headSize);
  std::vector<float> parts;
  auto token = static_cast<size_t>(op.begin[q]);
  const auto end = static_cast<size_t>(op.end[q]);
  do {
    const size_t next = std::min(end, (token / set.splitTokens + 1) * set.splitTokens);
    parts.resize(parts.size() + stride);
    set.attendQuery(op, q, group, token, next, parts.data() + parts.size() - stride, scratch);
    token = next;
  } while (token < end);
  set.joinQuery(op, q, group, parts.data(), parts.size() / stride, stride);
}

}  // namespace

namespace {

void checkOneQuery(DataType type, size_t blockTokens) {
  for (size_t headSize : {8, 20, 64, 80}) {
    Fixture made(type, headSize, blockTokens, {0, 0, 1, 1}, {0, 3, 17, 0}, {1, 140, 64, 0});
    for (const Kernels* set : available()) {
      std::vector<uint8_t> scratch(set->attentionBytes(made.op));
      for (size_t q = 0; q < made.queries; q++) {
        for (const HeadGroup& group : groups) {
          attendOne(*set, made.op, q, group, scratch.data());
          const size_t row = heads * (headSize + 1);
          for (size_t h = group.begin; h < group.end; h++)
            made.check(q, h, &made.out[q * row + h * headSize], made.out[q * row + heads * headSize + h]);
        }
      }
    }
  }
}

}  // namespace

TEST("what a cache keeps of a number is off by as much as its type says, and a row of zeros, or of very small numbers, is one of zeros") {
  constexpr size_t tokens = 40, headSize = 300;
  const double off[] = {0, 0x1p-11, 0x1p-8};
  for (const DataType type : kCacheTypes) {
    for (const bool areKeys : {true, false}) {
      auto x = randoms(tokens * keyHeads * headSize, 3);
      std::fill_n(x.begin(), headSize, 0.0f);
      std::fill_n(x.begin() + headSize, headSize, 1e-40f);
      std::vector<int32_t> slots(tokens);
      for (size_t t = 0; t < tokens; t++) slots[t] = static_cast<int32_t>((t * 7 + 3) % 48);
      for (const Kernels* set : available()) {
        TestCache cache(type, areKeys, 3, keyHeads, headSize, 16);
        cache.store(*set, x, slots);
        for (size_t row = 0; row < tokens * keyHeads; row++) {
          const float* from = &x[row * headSize];
          double largest = 0;
          for (size_t i = 0; i < headSize; i++) largest = std::max(largest, std::abs(static_cast<double>(from[i])));
          for (size_t i = 0; i < headSize; i++) {
            const double found = cache.at(slots[row / keyHeads], row % keyHeads, i), error = std::abs(found - static_cast<double>(from[i]));
            if (type == DataType::Int8)
              CHECK(error <= largest / 253 + 1e-36);
            else
              CHECK(error <= std::abs(static_cast<double>(from[i])) * off[static_cast<size_t>(type)] + 1e-7);
          }
        }
      }
    }
  }
}

TEST("attention of one query over scattered blocks, or a part of them, equals a softmax in double precision") {
  for (const DataType type : kCacheTypes) {
    for (const size_t blockTokens : kBlockTokens) checkOneQuery(type, blockTokens);
  }
}

namespace {

void checkTiles(DataType type, size_t blockTokens) {
  for (size_t headSize : {8, 20, 64, 128}) {
    std::vector<int32_t> begin, end;
    for (int32_t q = 0; q < 50; q++) {
      end.push_back(q == 20 ? 0 : q + 100);
      begin.push_back(std::max(0, q < 25 ? 0 : q - 20));
    }
    begin[30] = end[30];  // sees nothing
    Fixture made(type, headSize, blockTokens, std::vector<int32_t>(50, 1), begin, end);
    for (const Kernels* set : available()) {
      std::vector<uint8_t> scratch(set->attentionBytes(made.op));
      for (const HeadGroup& group : groups) {
        set->attendTile(made.op, 0, 19, group, scratch.data());
        set->attendTile(made.op, 19, 50, group, scratch.data());
      }
      const size_t row = heads * (headSize + 1);
      for (size_t q = 0; q < 50; q++) {
        for (size_t h = 0; h < heads; h++) made.check(q, h, &made.out[q * row + h * headSize], made.out[q * row + heads * headSize + h]);
      }
    }
  }
}

}  // namespace

TEST("attention of tiles of queries with windows and causal ends equals a softmax in double precision") {
  for (const DataType type : kCacheTypes) {
    for (const size_t blockTokens : kBlockTokens) checkTiles(type, blockTokens);
  }
}

namespace {

constexpr int32_t kPoisoned = 37;  // a token of sequence 0

/// Puts something that is no number into one element of a token's key, or value, of key head 0.
void poison(Fixture& made, TestCache& cache, float with) {
  auto row = randoms(keyHeads * made.headSize);
  row[made.headSize / 2] = with;
  cache.store(*portableKernels(), row, {made.slotOf(0, kPoisoned)});
}

/// Both forms of attention of every query: a row of `out` is what made.op says.
std::vector<std::vector<float>> attendBothWays(const Kernels& set, Fixture& made) {
  const size_t row = heads * (made.headSize + 1);
  std::vector<uint8_t> scratch(set.attentionBytes(made.op));
  std::vector<float> single(made.queries * row);
  for (const HeadGroup& group : groups) {
    set.attendTile(made.op, 0, made.queries, group, scratch.data());
    Attention op = made.op;
    op.out = single.data();
    for (size_t q = 0; q < made.queries; q++) attendOne(set, op, q, group, scratch.data());
  }
  return {made.out, single};
}

void checkPoisoned(DataType type, size_t headSize, size_t blockTokens, const char* where, float with) {
  // Some queries see the token, the others stop before it, or begin after it.
  std::vector<int32_t> begin, end;
  for (int32_t q = 0; q < 12; q++) {
    begin.push_back(q < 8 ? q / 2 : kPoisoned + 1 + q / 10);
    end.push_back(q < 4 ? kPoisoned - q % 2 : kPoisoned + 1 + q * 9);
  }
  Fixture made(type, headSize, blockTokens, std::vector<int32_t>(12, 0), begin, end);
  if (where[0] == 'q') made.query[(5 * heads + 1) * headSize + 3] = with;
  if (where[0] == 'k') poison(made, made.keys, with);
  if (where[0] == 'v') poison(made, made.values, with);
  for (const Kernels* set : available()) {
    for (const auto& found : attendBothWays(*set, made)) {
      for (size_t q = 0; q < made.queries; q++) {
        for (size_t h = 0; h < heads; h++) {
          const float* attended = &found[q * heads * (headSize + 1) + h * headSize];
          const float logSumExp = found[q * heads * (headSize + 1) + heads * headSize + h];
          const bool sees = where[0] == 'q' ? q == 5 && h == 1 : begin[q] <= kPoisoned && kPoisoned < end[q] && keyHeadOf[h] == 0;
          if (!sees)
            made.check(q, h, attended, logSumExp);
          else if (where[0] == 'v')
            CHECK(!std::isfinite(attended[headSize / 2]));
          else
            CHECK(std::isnan(attended[0]) && std::isnan(attended[headSize - 1]) && std::isnan(logSumExp));
        }
      }
    }
  }
}

}  // namespace

TEST("a query, key or value that is no number makes what sees it no number, and nothing that does not") {
  for (const DataType type : kCacheTypes) {
    for (const size_t headSize : {20, 64}) {
      for (const char* where : {"query", "key", "value"}) {
        for (const float with : {NAN, HUGE_VALF, -HUGE_VALF}) {
          for (const size_t blockTokens : {16, 18}) checkPoisoned(type, headSize, blockTokens, where, with);
        }
      }
    }
  }
}

TEST("partial attention that is no number is so when joined, and that of no tokens counts nothing") {
  using troupe::program::joinByLogSumExp;
  const float parts[3] = {1, 2, 3};
  const auto joined = [&](std::vector<float> sums, float* out) {
    return joinByLogSumExp(
        3, 1, [&](size_t i) { return &parts[i]; }, [&](size_t i) { return sums[i]; }, out);
  };
  float out;
  for (size_t i = 0; i < 3; i++) {
    std::vector<float> sums{0, -HUGE_VALF, 1};
    sums[i] = NAN;
    CHECK(std::isnan(joined(sums, &out)) && std::isnan(out));
  }
  CHECK(std::isnan(joined({-HUGE_VALF, NAN, -HUGE_VALF}, &out)) && std::isnan(out));
  CHECK(joined({-HUGE_VALF, -HUGE_VALF, -HUGE_VALF}, &out) == -HUGE_VALF && out == 0);
  CHECK(joined({-HUGE_VALF, 0.5f, -HUGE_VALF}, &out) == 0.5f && out == 2);
}

namespace {

/// Cached tokens enough for several splits, whose blocks are scattered.
void checkBits(const Kernels& set, DataType type, size_t headSize, size_t blockTokens) {
  const size_t tokens = 2500, tableBlocks = tokens / blockTokens + 1;
  std::vector<int32_t> table(tableBlocks), sequence(40, 0), begin(40), end(40);
  for (size_t i = 0; i < tableBlocks; i++) table[i] = static_cast<int32_t>((7 * i + 3) % tableBlocks);
  for (size_t q = 0; q < 40; q++) {
    end[q] = static_cast<int32_t>(q < 10 ? q : q * 61);
    begin[q] = q % 3 == 0 ? std::max(0, end[q] - 700) : 0;
  }
  const size_t row = heads * (headSize + 1);
  const auto query = randoms(40 * heads * headSize, 3);
  TestCache keys(type, true, tableBlocks, keyHeads, headSize, blockTokens),
      values(type, false, tableBlocks, keyHeads, headSize, blockTokens);
  keys.randomize(2);
  values.randomize(2);
  Attention op{query.data(),
               keys.bytes.data(),
               values.bytes.data(),
               type,
               sequence.data(),
               begin.data(),
               end.data(),
               table.data(),
               keyHeadOf,
               nullptr,
               40,
               heads,
               keyHeads,
               headSize,
               blockTokens,
               tableBlocks,
               0.25f,
               true};
  std::vector<uint8_t> scratch(set.attentionBytes(op));
  std::vector<float> tiled(40 * row), cut(40 * row), single(40 * row);
  for (const HeadGroup& group : groups) {
    op.out = tiled.data();
    set.attendTile(op, 0, 40, group, scratch.data());
    op.out = cut.data();
    for (size_t q = 0; q < 40; q += 7) set.attendTile(op, q, std::min<size_t>(40, q + 7), group, scratch.data());
    op.out = single.data();
    for (size_t q = 0; q < 40; q++) attendOne(set, op, q, group, scratch.data());
  }
  CHECK(std::memcmp(tiled.data(), cut.data(), tiled.size() * sizeof(float)) == 0);
  CHECK(std::memcmp(tiled.data(), single.data(), tiled.size() * sizeof(float)) == 0);
}

}  // namespace

TEST("a query gets the same bits alone, divided or not, as in tiles of any queries, over several splits and with windows") {
  for (const Kernels* set : available()) {
    for (const DataType type : kCacheTypes) {
      for (size_t headSize : {8, 20, 64, 128}) {
        for (const size_t blockTokens : kBlockTokens) checkBits(*set, type, headSize, blockTokens);
      }
    }
  }
}
