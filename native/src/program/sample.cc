#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "program/operations.h"

namespace troupe::program {
namespace {

/// How one row is drawn from, as the program's input holds it.
struct Settings {
  float temperature;  // 0 takes the likeliest; below 0 nothing is drawn
  int32_t topK;
  float topP;
  uint32_t random;  // of 2^32
};

/// The value in place of a token where there is none: the settings ask for none, or a logit is no number.
constexpr int32_t kNone = -1, kNotANumber = -2;

/// Whether a row has what no token can be chosen from: NaN, or plus infinity. x - x is 0 for every number.
bool hasNoNumbers(const float* x, size_t count) {
  constexpr size_t kLanes = 16;
  float lanes[kLanes] = {};
  const size_t whole = count / kLanes * kLanes;
  const auto difference = [](float value) { return value == -HUGE_VALF ? 0 : value - value; };
  for (size_t i = 0; i < whole; i += kLanes) {
    for (size_t lane = 0; lane < kLanes; lane++) lanes[lane] += difference(x[i + lane]);
  }
  float sum = std::accumulate(lanes, lanes + kLanes, 0.0f);
  for (size_t i = whole; i < count; i++) sum += difference(x[i]);
  return !(sum == 0);
}

/// The index of the highest, the first of several. Blocks are compared by their maxima, which vectorize.
int32_t argmax(const float* x, size_t count) {
  constexpr size_t kLanes = 16, kBlock = 512;
  float best = -HUGE_VALF;
  size_t found = 0;
  for (size_t begin = 0; begin < count; begin += kBlock) {
    const size_t end = std::min(begin + kBlock, count), whole = begin + (end - begin) / kLanes * kLanes;
    float lanes[kLanes];
    std::fill(lanes, lanes + kLanes, -HUGE_VALF);
    for (size_t i = begin; i < whole; i += kLanes) {
      for (size_t lane = 0; lane < kLanes; lane++) lanes[lane] = x[i + lane] > lanes[lane] ? x[i + lane] : lanes[lane];
    }
    float highest = *std::max_element(lanes, lanes + kLanes);
    for (size_t i = whole; i < end; i++) highest = std::max(highest, x[i]);
    if (!(highest > best)) continue;
    best = highest;
    found = static_cast<size_t>(std::find(x + begin, x + end, highest) - x);
  }
  return static_cast<int32_t>(found);
}

/// Draws a token a row: from all, from the topK likeliest, or from the likeliest that reach the probability topP together
/// (arXiv 1904.09751). The same numbers give the same token; logits that are no numbers give kNotANumber.
class Sample : public Operation {
 public:
  explicit Sample(const Node& node) : logits_(*node.inputs.at(0)), settings_(*node.inputs.at(1)), tokens_(*node.outputs.at(0)) {}

  size_t scratchBytes(int threads) const override { return static_cast<size_t>(threads) * aligned(logits_.columns * sizeof(int32_t)); }

  void run(const Step& step) override {
    step.threads.forEach(step.rows(logits_), 1, [&](size_t begin, size_t end, int thread) {
      auto* order = reinterpret_cast<int32_t*>(step.scratch + static_cast<size_t>(thread) * aligned(logits_.columns * sizeof(int32_t)));
      for (size_t row = begin; row < end; row++) {
        Settings settings;
        std::memcpy(&settings, settings_.ints() + row * settings_.columns, sizeof settings);
        tokens_.ints()[row] = draw(logits_.floats() + row * logits_.columns, settings, order);
      }
    });
  }

 private:
  int32_t draw(const float* logits, const Settings& settings, int32_t* order) const {
    if (settings.temperature < 0) return kNone;
    if (hasNoNumbers(logits, logits_.columns)) return kNotANumber;
    const int32_t likeliest = argmax(logits, logits_.columns);
    if (logits[likeliest] == -HUGE_VALF) return kNotANumber;
    if (settings.temperature == 0) return likeliest;
    const double highest = logits[likeliest], random = settings.random / 4294967296.0;
    const auto weight = [&](int32_t token) { return std::exp((logits[token] - highest) / settings.temperature); };
    const auto all = static_cast<int32_t>(logits_.columns);
    const int32_t most = settings.topK > 0 ? std::min(settings.topK, all) : all;
    std::iota(order, order + all, 0);
    if (most == all && settings.topP >= 1) return drawFrom(order, all, weight, random);

    const auto likelier = [&](int32_t a, int32_t b) { return logits[a] > logits[b] || (logits[a] == logits[b] && a < b); };
    int32_t sorted = settings.topP >= 1 ? most : std::min(most, 64);
    std::partial_sort(order, order + sorted, order + all, likelier);
    if (settings.topP >= 1) return drawFrom(order, most, weight, random);

    // The sum over the topK likeliest needs no order among them.
    if (most < all && sorted < most) std::nth_element(order + sorted, order + most - 1, order + all, likelier);
    double total = 0;
    for (int32_t i = 0; i < most; i++) total += weight(order[i]);
    double reached = 0;
    for (int32_t kept = 0; kept < most;) {
      reached += weight(order[kept++]);
      if (reached >= settings.topP * total) return drawFrom(order, kept, weight, random);
      if (kept < sorted || kept == most) continue;
      sorted = std::min(most, 4 * sorted);
      std::partial_sort(order + kept, order + sorted, order + most, likelier);
    }
    return drawFrom(order, most, weight, random);
  }

  template <class Weight>
  static int32_t drawFrom(const int32_t* tokens, int32_t count, Weight&& weight, double random) {
    double total = 0;
    for (int32_t i = 0; i < count; i++) total += weight(tokens[i]);
    double left = random * total;
    int32_t last = tokens[0];
    for (int32_t i = 0; i < count; i++) {
      const double own = weight(tokens[i]);
      if (own > 0) last = tokens[i];
      left -= own;
      if (left < 0) break;
    }
    return last;
  }

  const Value logits_, settings_, tokens_;
};

}  // namespace

std::unique_ptr<Operation> makeSample(const Node& node) { return std::make_unique<Sample>(node); }

}  // namespace troupe::program
