#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <optional>

#include "program/operations.h"
#include "program/schema.h"

namespace troupe::program {
namespace {

/// How one row is drawn from, as the program's input holds it.
struct Settings {
  float temperature;  // 0 takes the likeliest; below 0 nothing is drawn
  int32_t topK;
  float topP;
  uint32_t random;  // of 2^32
};

/// How the logits of one row are changed before it is drawn from, as the program's input holds it.
struct Adjustment {
  float minP;                  // 0 for none
  float repetition;            // 1 for none
  float presence, frequency;   // 0 for none
  int32_t counts;              // the row of the text's counts; below 0 for none
  int32_t biasBegin, biasEnd;  // of the biases
  int32_t mask;                // the row of the masks; below 0 for none
};
static_assert(sizeof(Adjustment) == kAdjustmentColumns * sizeof(int32_t));

/// The bit of a token's count that says that the prompt has it; those below count it in the answer.
constexpr int32_t kInPrompt = 1 << 30;

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
  explicit Sample(const Node& node) : logits_(*node.inputs.at(0)), settings_(*node.inputs.at(1)), tokens_(*node.outputs.at(0)) {
    if (node.inputs.size() == 2) return;
    adjusted_ = Adjusted{*node.inputs.at(2), *node.inputs.at(3), *node.inputs.at(4), *node.inputs.at(5)};
  }

  size_t scratchBytes(int threads) const override { return static_cast<size_t>(threads) * 2 * rowBytes(); }

  void run(const Step& step) override {
    step.threads.forEach(step.rows(logits_), 1, [&](size_t begin, size_t end, int thread) {
      uint8_t* scratch = step.scratch + static_cast<size_t>(thread) * 2 * rowBytes();
      auto* order = reinterpret_cast<int32_t*>(scratch);
      auto* changed = reinterpret_cast<float*>(scratch + rowBytes());
      for (size_t row = begin; row < end; row++) {
        Settings settings;
        std::memcpy(&settings, settings_.ints() + row * settings_.columns, sizeof settings);
        const float* logits = logits_.floats() + row * logits_.columns;
        float minP = 0;
        if (adjusted_ && settings.temperature >= 0) {
          Adjustment adjustment;
          std::memcpy(&adjustment, adjusted_->adjustments.ints() + row * kAdjustmentColumns, sizeof adjustment);
          minP = adjustment.minP;
          logits = adjust(logits, adjustment, changed);
        }
        tokens_.ints()[row] = draw(logits, settings, minP, order);
      }
    });
  }

 private:
  struct Adjusted {
    Value adjustments, biases, counts, masks;
  };

  size_t rowBytes() const { return aligned(logits_.columns * sizeof(float)); }

  /// The logits with penalties (arXiv 1909.05858 for repetition), biases and the mask; changed ones are in `changed`.
  const float* adjust(const float* logits, const Adjustment& a, float* changed) const {
    const size_t columns = logits_.columns;
    const bool isPenalized = a.counts >= 0 && (a.repetition != 1 || a.presence != 0 || a.frequency != 0);
    if (!isPenalized && a.biasBegin >= a.biasEnd && a.mask < 0) return logits;
    std::memcpy(changed, logits, columns * sizeof(float));
    if (isPenalized) {
      const int32_t* counts = adjusted_->counts.ints() + static_cast<size_t>(a.counts) * columns;
      for (size_t i = 0; i < columns; i++) {
        if (counts[i] == 0) continue;
        const int32_t generated = counts[i] & (kInPrompt - 1);
        float& logit = changed[i];
        logit = logit > 0 ? logit / a.repetition : logit * a.repetition;
        if (generated > 0) logit -= a.presence + a.frequency * static_cast<float>(generated);
      }
    }
    for (int32_t i = a.biasBegin; i < a.biasEnd; i++) {
      const int32_t* bias = adjusted_->biases.ints() + 2 * static_cast<size_t>(i);
      float added;
      std::memcpy(&added, bias + 1, sizeof added);
      // A logit that is no number stays one.
      if (float& logit = changed[bias[0]]; logit < HUGE_VALF) logit += added;
    }
    if (a.mask >= 0) {
      const int32_t* mask = adjusted_->masks.ints() + static_cast<size_t>(a.mask) * adjusted_->masks.columns;
      for (size_t i = 0; i < columns; i++) {
        const bool isAllowed = static_cast<uint32_t>(mask[i / 32]) >> (i % 32) & 1;
        if (!isAllowed && changed[i] < HUGE_VALF) changed[i] = -HUGE_VALF;
      }
    }
    return changed;
  }

  int32_t draw(const float* logits, const Settings& settings, float minP, int32_t* order) const {
    if (settings.temperature < 0) return kNone;
    if (hasNoNumbers(logits, logits_.columns)) return kNotANumber;
    const int32_t likeliest = argmax(logits, logits_.columns);
    if (logits[likeliest] == -HUGE_VALF) return kNotANumber;
    if (settings.temperature == 0) return likeliest;
    const double highest = logits[likeliest], random = settings.random / 4294967296.0;
    const auto weight = [&](int32_t token) { return std::exp((logits[token] - highest) / settings.temperature); };
    const auto columns = static_cast<int32_t>(logits_.columns);
    std::iota(order, order + columns, 0);
    // Tokens that are less than this share as likely as the likeliest (arXiv 2407.01082).
    const auto isUnlikely = [&](int32_t token) { return weight(token) < minP; };
    const auto all = minP > 0 ? static_cast<int32_t>(std::remove_if(order, order + columns, isUnlikely) - order) : columns;
    const int32_t most = settings.topK > 0 ? std::min(settings.topK, all) : all;
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
  std::optional<Adjusted> adjusted_;
};

/// Counts tokens in the rows of a table; those below 0 and those for rows below 0 are not counted.
class CountTokens : public Operation {
 public:
  explicit CountTokens(const Node& node) : tokens_(*node.inputs.at(0)), rows_(*node.inputs.at(1)), counts_(*node.inputs.at(2)) {}

  void run(const Step& step) override {
    for (size_t i = 0; i < step.rows(tokens_); i++) {
      const int32_t row = rows_.ints()[i], token = tokens_.ints()[i];
      if (row < 0 || token < 0) continue;
      int32_t& count = counts_.ints()[static_cast<size_t>(row) * counts_.columns + static_cast<size_t>(token)];
      if ((count & (kInPrompt - 1)) < kInPrompt - 1) count++;
    }
  }

 private:
  const Value tokens_, rows_, counts_;
};

/// The natural logarithm of a token's probability, and the likeliest tokens with theirs, for the rows that want them.
class LogProbs : public Operation {
 public:
  explicit LogProbs(const Node& node)
      : logits_(*node.inputs.at(0)), tokens_(*node.inputs.at(1)), wanted_(*node.inputs.at(2)), found_(*node.outputs.at(0)) {}

  size_t scratchBytes(int threads) const override { return static_cast<size_t>(threads) * rowBytes(); }

  void run(const Step& step) override {
    step.threads.forEach(step.rows(logits_), 1, [&](size_t begin, size_t end, int thread) {
      auto* order = reinterpret_cast<int32_t*>(step.scratch + static_cast<size_t>(thread) * rowBytes());
      for (size_t row = begin; row < end; row++) {
        if (wanted_.ints()[row] >= 0) find(row, order);
      }
    });
  }

 private:
  size_t rowBytes() const { return aligned(logits_.columns * sizeof(int32_t)); }

  void find(size_t row, int32_t* order) const {
    const size_t columns = logits_.columns;
    const float* logits = logits_.floats() + row * columns;
    float* found = found_.floats() + row * found_.columns;
    const double highest = *std::max_element(logits, logits + columns);
    double total = 0;
    for (size_t i = 0; i < columns; i++) total += std::exp(logits[i] - highest);
    const double logTotal = highest + std::log(total);
    const auto logProb = [&](int32_t token) { return static_cast<float>(logits[token] - logTotal); };
    const int32_t token = tokens_.ints()[row];
    found[0] = token < 0 ? 0 : logProb(token);
    const size_t most = std::min({static_cast<size_t>(wanted_.ints()[row]), (found_.columns - 1) / 2, columns});
    std::iota(order, order + columns, 0);
    std::partial_sort(order, order + most, order + columns,
                      [&](int32_t a, int32_t b) { return logits[a] > logits[b] || (logits[a] == logits[b] && a < b); });
    for (size_t i = 0; i < most; i++) {
      found[1 + 2 * i] = static_cast<float>(order[i]);
      found[2 + 2 * i] = logProb(order[i]);
    }
  }

  const Value logits_, tokens_, wanted_, found_;
};

}  // namespace

std::unique_ptr<Operation> makeSample(const Node& node) { return std::make_unique<Sample>(node); }
std::unique_ptr<Operation> makeCountTokens(const Node& node) { return std::make_unique<CountTokens>(node); }
std::unique_ptr<Operation> makeLogProbs(const Node& node) { return std::make_unique<LogProbs>(node); }

}  // namespace troupe::program
