#include <numeric>

#include "kernel_support.h"
#include "program/operations.h"
#include "program/sequence_scheme.h"
#include "ranks.h"

using namespace troupe;
using program::chooseScheme;
using program::SequenceScheme;

namespace {

/// Attention of one step over tokens that are dealt to ranks. Sequence s has cached[s] tokens, of which the last queries[s]
/// are in the step; token t of it lies on rank (t / 3 + s) % ranks, so that every rank holds runs of every sequence.
struct Shape {
  size_t ranks, heads, keyHeads, headSize;
  std::vector<size_t> cached, queries;
  size_t window = SIZE_MAX;
  int threads = 1;
  kernel::DataType cacheType = kernel::DataType::Float32;
};

constexpr size_t kBlockTokens = 4;

struct Token {
  size_t sequence, position;
};

class Fixture {
 public:
  explicit Fixture(const Shape& shape)
      : shape(shape), cachedOn(shape.ranks, std::vector<std::vector<size_t>>(shape.cached.size())), queriesOn(shape.ranks) {
    for (size_t s = 0; s < shape.cached.size(); s++) {
      for (size_t t = 0; t < shape.cached[s]; t++) {
        const size_t rank = (t / 3 + s) % shape.ranks;
        cachedOn[rank][s].push_back(t);
        if (t + shape.queries[s] >= shape.cached[s]) queriesOn[rank].push_back({s, t});
        keys.push_back(randomHeads(2));
        values.push_back(randomHeads(1));
        roundedKeys.push_back(rounded(keys.back()));
        roundedValues.push_back(rounded(values.back()));
        queries.push_back(randoms(shape.heads * shape.headSize, 2));
      }
    }
    for (const auto& own : queriesOn) all.insert(all.end(), own.begin(), own.end());
    for (size_t h = 0; h < shape.heads; h++) keyHeadOf.push_back(static_cast<int32_t>(h * shape.keyHeads / shape.heads));
  }

  /// A token's heads.
  std::vector<float> randomHeads(float limit) const { return randoms(shape.keyHeads * shape.headSize, limit); }

  /// They, rounded as the cache keeps them.
  TestCache rounded(const std::vector<float>& x) const {
    TestCache one(shape.cacheType, false, 1, shape.keyHeads, shape.headSize, 1);
    one.store(kernel::kernels(), x, {0});
    return one;
  }

  size_t indexOf(size_t sequence, size_t position) const {
    return std::accumulate(shape.cached.begin(), shape.cached.begin() + static_cast<long>(sequence), size_t{0}) + position;
  }
  size_t firstSeen(const Token& token) const { return token.position + 1 > shape.window ? token.position + 1 - shape.window : 0; }

  void check(const Token& token, const float* found) const {
    const auto& query = queries[indexOf(token.sequence, token.position)];
    for (size_t h = 0; h < shape.heads; h++) {
      std::vector<double> sum(shape.headSize);
      double total = 0;
      for (size_t t = firstSeen(token); t <= token.position; t++) {
        const size_t index = indexOf(token.sequence, t);
        double score = 0;
        for (size_t i = 0; i < shape.headSize; i++)
          score += static_cast<double>(query[h * shape.headSize + i]) * roundedKeys[index].at(0, static_cast<size_t>(keyHeadOf[h]), i);
        const double weight = std::exp(score * 0.25);
        total += weight;
        for (size_t i = 0; i < shape.headSize; i++) sum[i] += weight * roundedValues[index].at(0, static_cast<size_t>(keyHeadOf[h]), i);
      }
      for (size_t i = 0; i < shape.headSize; i++) CHECK(near(found[h * shape.headSize + i], sum[i] / total, 2));
    }
  }

  const Shape shape;
  std::vector<std::vector<std::vector<size_t>>> cachedOn;  // [rank][sequence] positions
  std::vector<std::vector<Token>> queriesOn;               // [rank]
  std::vector<Token> all;                                  // queries, rank by rank
  std::vector<std::vector<float>> keys, values;            // by token
  std::vector<TestCache> roundedKeys, roundedValues;       // by token
  std::vector<std::vector<float>> queries;                 // by token
  std::vector<int32_t> keyHeadOf;
};

/// One rank's memory and program: gatherSpans, then sequenceAttention.
class Rank {
 public:
  Rank(const Fixture& fixture, std::shared_ptr<collective::Communicator> group)
      : fixture_(fixture), own_(static_cast<size_t>(group->rank())) {
    const Shape& shape = fixture.shape;
    const size_t width = shape.heads * shape.headSize;
    layOut();
    const auto& queries = fixture.queriesOn[own_];
    for (const Token& token : queries) {
      const auto& query = fixture.queries[fixture.indexOf(token.sequence, token.position)];
      query_.insert(query_.end(), query.begin(), query.end());
    }
    query_.resize(std::max<size_t>(1, queries.size()) * width);
    out_.resize(query_.size());
    for (const auto& each : fixture.queriesOn) counts_.push_back(static_cast<int32_t>(each.size()));
    spans_.resize(2 * shape.ranks * fixture.all.size());

    program::Program::Description description;
    description.symbols = {"tokens", "queries", "sequences"};
    description.limits = {std::max<size_t>(1, queries.size()), fixture.all.size(), shape.cached.size()};
    const auto add = [&](void* data, kernel::DataType type, int symbol, size_t rows, size_t columns) {
      description.values.push_back({static_cast<uint8_t*>(data), type, symbol, rows, columns});
      description.arenaOffsets.push_back(0);
    };
    const auto floats = kernel::DataType::Float32, ints = kernel::DataType::Int32;
    const int fixed = program::Value::kFixed;
    add(query_.data(), floats, 0, description.limits[0], width);
    for (const auto& cache : {keys_.get(), values_.get()})
      add(cache->bytes.data(), shape.cacheType, fixed, 1, cache->bytes.size() / kernel::rowBytes(shape.cacheType, 1));
    add(sequence_.data(), ints, 1, fixture.all.size(), 1);
    add(begin_.data(), ints, 1, fixture.all.size(), 1);
    add(end_.data(), ints, 1, fixture.all.size(), 1);
    add(tables_.data(), ints, 2, shape.cached.size(), perSequence_);
    add(const_cast<int32_t*>(fixture.keyHeadOf.data()), ints, fixed, 1, shape.heads);
    add(counts_.data(), ints, fixed, 1, shape.ranks);
    add(spans_.data(), ints, 1, fixture.all.size(), 2 * shape.ranks);
    add(out_.data(), floats, 0, description.limits[0], width);
    const std::map<std::string, double> numbers{{"headSize", static_cast<double>(shape.headSize)},
                                                {"keyHeads", static_cast<double>(shape.keyHeads)},
                                                {"blockTokens", static_cast<double>(kBlockTokens)},
                                                {"scale", 0.25}};
    description.operations.push_back({"gatherSpans", {4, 5}, {9}, {}, {}, 0});
    description.operations.push_back({"sequenceAttention", {0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, {10}, numbers, {}, 0});
    description.groups.push_back(std::move(group));
    program_ = std::make_unique<program::Program>(std::move(description), shape.threads);
  }

  void runAndCheck() {
    const auto& queries = fixture_.queriesOn[own_];
    program_->run({queries.size(), fixture_.all.size(), fixture_.shape.cached.size()});
    const size_t width = fixture_.shape.heads * fixture_.shape.headSize;
    for (size_t i = 0; i < queries.size(); i++) fixture_.check(queries[i], out_.data() + i * width);
  }

 private:
  /// Fills the cache, whose blocks lie backwards, and says what each query sees in it.
  void layOut() {
    const Shape& shape = fixture_.shape;
    const auto& cached = fixture_.cachedOn[own_];
    size_t blocks = 0;
    for (const auto& positions : cached) {
      const size_t own = (positions.size() + kBlockTokens - 1) / kBlockTokens;
      blocks += own;
      perSequence_ = std::max(perSequence_, own);
    }
    const auto makeCache = [&](bool areKeys) {
      return std::make_unique<TestCache>(shape.cacheType, areKeys, std::max<size_t>(1, blocks), shape.keyHeads, shape.headSize,
                                         kBlockTokens);
    };
    keys_ = makeCache(true);
    values_ = makeCache(false);
    tables_.resize(shape.cached.size() * perSequence_);
    for (size_t s = 0; s < cached.size(); s++) {
      for (size_t i = 0; i < cached[s].size(); i++) {
        if (i % kBlockTokens == 0) tables_[s * perSequence_ + i / kBlockTokens] = static_cast<int32_t>(--blocks);
        const auto block = static_cast<size_t>(tables_[s * perSequence_ + i / kBlockTokens]);
        const size_t token = fixture_.indexOf(s, cached[s][i]);
        const std::vector<int32_t> slot{static_cast<int32_t>(block * kBlockTokens + i % kBlockTokens)};
        keys_->store(kernel::kernels(), fixture_.keys[token], slot);
        values_->store(kernel::kernels(), fixture_.values[token], slot);
      }
    }
    for (const Token& token : fixture_.all) {
      const auto& positions = cached[token.sequence];
      const auto below = [&](size_t limit) {
        return static_cast<int32_t>(std::lower_bound(positions.begin(), positions.end(), limit) - positions.begin());
      };
      sequence_.push_back(static_cast<int32_t>(token.sequence));
      begin_.push_back(below(fixture_.firstSeen(token)));
      end_.push_back(below(token.position + 1));
    }
  }

  const Fixture& fixture_;
  const size_t own_;
  size_t perSequence_ = 1;
  std::vector<float> query_, out_;
  std::unique_ptr<TestCache> keys_, values_;
  std::vector<int32_t> sequence_, begin_, end_, tables_, counts_, spans_;
  std::unique_ptr<program::Program> program_;
};

/// Blocks are held whole, so that the work is a little more than the tokens.
SequenceScheme schemeOf(const Shape& shape) {
  const size_t queries = std::accumulate(shape.queries.begin(), shape.queries.end(), size_t{0});
  const size_t cached = std::accumulate(shape.cached.begin(), shape.cached.end(), size_t{0});
  return chooseScheme(
      {shape.ranks, queries, cached, shape.heads, shape.keyHeads, shape.headSize, kernel::cachedBytes(shape.cacheType, shape.headSize)});
}

void attendOnRanks(const Shape& shape, SequenceScheme expected) {
  CHECK(schemeOf(shape) == expected);
  const Fixture fixture(shape);
  for (const Nodes& nodes : {oneNode, nodeEach}) {
    onRanks(static_cast<int>(shape.ranks), nodes, [&](collective::Communicator& group) {
      // The group belongs to onRanks().
      Rank rank(fixture, std::shared_ptr<collective::Communicator>(&group, [](auto*) {}));
      for (int round = 0; round < 3; round++) rank.runAndCheck();
    });
  }
}

}  // namespace

TEST("few queries over a long cache are passed to all ranks, and their attention is joined") {
  attendOnRanks({2, 4, 2, 8, {90}, {1}}, SequenceScheme::PassQueries);
  attendOnRanks({3, 4, 2, 8, {300, 41, 200}, {1, 2, 12}}, SequenceScheme::PassQueries);
  attendOnRanks({2, 4, 2, 8, {2000}, {1}, SIZE_MAX, 2}, SequenceScheme::PassQueries);
}

TEST("keys and values of a whole prompt travel a ring of ranks") {
  attendOnRanks({2, 4, 2, 8, {100}, {100}}, SequenceScheme::PassKeys);
  attendOnRanks({3, 6, 2, 20, {50, 1, 70}, {50, 1, 60}}, SequenceScheme::PassKeys);
  attendOnRanks({5, 4, 1, 8, {2}, {2}}, SequenceScheme::PassKeys);  // fewer tokens than ranks
  attendOnRanks({2, 4, 2, 8, {100}, {100}, SIZE_MAX, 2}, SequenceScheme::PassKeys);
}

TEST("heads are exchanged where that moves fewer bytes and every rank gets key/value heads") {
  attendOnRanks({4, 8, 4, 8, {100}, {100}}, SequenceScheme::ExchangeHeads);
  attendOnRanks({4, 8, 4, 8, {60, 80}, {60, 75}, SIZE_MAX, 2}, SequenceScheme::ExchangeHeads);
  attendOnRanks({3, 6, 6, 12, {100, 5}, {90, 5}}, SequenceScheme::ExchangeHeads);
}

TEST("a cache in fewer bits travels as it is") {
  for (const auto type : {kernel::DataType::Float16, kernel::DataType::BFloat16, kernel::DataType::Int8}) {
    attendOnRanks({3, 4, 2, 20, {300, 41}, {1, 2}, SIZE_MAX, 1, type}, SequenceScheme::PassQueries);
    attendOnRanks({2, 4, 1, 20, {50, 70}, {50, 60}, SIZE_MAX, 1, type}, SequenceScheme::PassKeys);
    attendOnRanks({4, 4, 4, 40, {60, 80}, {40, 50}, SIZE_MAX, 2, type}, SequenceScheme::ExchangeHeads);
  }
}

TEST("attention over a window passes only the blocks that it sees") {
  attendOnRanks({2, 4, 2, 8, {100}, {100}, 9}, SequenceScheme::PassKeys);
  attendOnRanks({4, 8, 4, 8, {100}, {100}, 9}, SequenceScheme::ExchangeHeads);
}

TEST("the scheme of a sequence's attention is the one that moves the fewest bytes") {
  const size_t heads = 32, keyHeads = 8, headSize = 128;
  for (size_t ranks : {2, 3, 4, 8, 16}) {
    for (size_t queries : {1, 100, 1000, 10'000}) {
      for (size_t cached : {queries, queries + 100, queries + 1000, queries + 100'000}) {
        const program::SequenceWork work{ranks, queries, cached, heads, keyHeads, headSize, 4 * headSize};
        const SequenceScheme chosen = chooseScheme(work);
        CHECK(chosen != SequenceScheme::ExchangeHeads || keyHeads % ranks == 0);
        for (const auto other : {SequenceScheme::PassQueries, SequenceScheme::PassKeys, SequenceScheme::ExchangeHeads}) {
          if (other == SequenceScheme::ExchangeHeads && keyHeads % ranks != 0) continue;
          CHECK(bytesMoved(chosen, work) <= bytesMoved(other, work));
        }
      }
    }
    CHECK(chooseScheme({ranks, 1, 100'000, heads, keyHeads, headSize, 4 * headSize}) == SequenceScheme::PassQueries);
  }
  CHECK(chooseScheme({2, 10'000, 10'000, heads, keyHeads, headSize, 4 * headSize}) == SequenceScheme::PassKeys);
  CHECK(chooseScheme({16, 10'000, 10'000, heads, keyHeads, headSize, 4 * headSize}) == SequenceScheme::PassKeys);  // 8 heads are too few
}
