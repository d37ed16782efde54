#include <algorithm>
#include <stdexcept>

#include "program/schema.h"

namespace troupe::program {
namespace {

using Symbols = std::vector<size_t>;

size_t rowsOf(const Value& value, const Symbols& symbols) {
  return value.symbol == Value::kFixed ? value.rows : symbols[static_cast<size_t>(value.symbol)];
}

[[noreturn]] void refuse(const std::string& operation, const std::string& operand, size_t at, const std::string& expected, int64_t found) {
  throw std::out_of_range(operation + ": " + operand + "[" + std::to_string(at) + "]: expected " + expected + ", found " +
                          std::to_string(found));
}

std::string between(int64_t least, int64_t most) {
  return most < least ? "no index, since there is nothing to refer to"
                      : "an index from " + std::to_string(least) + " to " + std::to_string(most);
}

/// Indices of an input, each of which must be from `least` to below what `end` says.
template <class End>
IndexCheck within(const Node& node, size_t input, const std::string& operand, int64_t least, const std::string& key, End&& end) {
  const Value& indices = *node.inputs[input];
  return {{input}, node.name + ":" + key, [=, name = node.name](const Symbols& symbols) {
            const int64_t limit = end(symbols);
            const int32_t* all = indices.ints();
            for (size_t i = 0; i < rowsOf(indices, symbols); i++) {
              if (all[i] < least || all[i] >= limit) refuse(name, operand, i, between(least, limit - 1), all[i]);
            }
          }};
}

size_t blocksOf(const Node& node, size_t cache) {
  const Value& value = *node.inputs[cache];
  const auto size = [&](const char* key) { return static_cast<size_t>(node.number(key)); };
  return value.rows * kernel::rowBytes(value.type, value.columns) /
         (size("keyHeads") * size("blockTokens") * kernel::cachedBytes(value.type, size("headSize")));
}

/// The cached tokens of each sequence that have been looked up.
class SeenTokens {
 public:
  SeenTokens(const Node& node, const Value& tables, size_t rows)
      : name_(node.name), tables_(tables), blockTokens_(static_cast<int64_t>(node.number("blockTokens"))),
        blocks_(static_cast<int64_t>(blocksOf(node, 1))), capacity_(static_cast<int64_t>(tables.columns) * blockTokens_), seen_(rows) {}

  void check(size_t query, int64_t sequence, int64_t begin, int64_t end) {
    if (sequence < 0 || sequence >= static_cast<int64_t>(seen_.size()))
      refuse(name_, "sequence", query, between(0, static_cast<int64_t>(seen_.size()) - 1), sequence);
    if (begin < 0) refuse(name_, "begin", query, "0 or more", begin);
    if (end < begin) refuse(name_, "end", query, "the begin, " + std::to_string(begin) + ", or more", end);
    if (end > capacity_) refuse(name_, "end", query, "at most the " + std::to_string(capacity_) + " tokens of a row of blockTables", end);
    if (begin == end) return;
    const int64_t first = begin / blockTokens_, last = (end - 1) / blockTokens_ + 1;
    auto& [from, to] = seen_[static_cast<size_t>(sequence)];
    if (from == to || last < from || first > to) {
      if (from == to)
        from = to = first;
      else
        return checkBlocks(sequence, first, last);  // apart from what has been seen
    }
    if (first < from) checkBlocks(sequence, first, from);
    if (last > to) checkBlocks(sequence, to, last);
    from = std::min(from, first);
    to = std::max(to, last);
  }

 private:
  void checkBlocks(int64_t sequence, int64_t first, int64_t last) const {
    const size_t row = static_cast<size_t>(sequence) * tables_.columns;
    for (auto at = row + static_cast<size_t>(first); at < row + static_cast<size_t>(last); at++) {
      const int32_t block = tables_.ints()[at];
      if (block < 0 || block >= blocks_) refuse(name_, "blockTables", at, between(0, blocks_ - 1), block);
    }
  }

  const std::string& name_;
  const Value& tables_;
  const int64_t blockTokens_, blocks_, capacity_;
  std::vector<std::pair<int64_t, int64_t>> seen_;  // [from, to) of its blocks, by sequence
};

std::string attentionKey(const Node& node) {
  return "spans:" + std::to_string(blocksOf(node, 1)) + ":" + std::to_string(node.number("blockTokens"));
}

IndexCheck attention(const Node& node) {
  return {{3, 4, 5, 6}, attentionKey(node), [node](const Symbols& symbols) {
            const Value &sequence = *node.inputs[3], &begin = *node.inputs[4], &end = *node.inputs[5], &tables = *node.inputs[6];
            SeenTokens seen(node, tables, rowsOf(tables, symbols));
            for (size_t q = 0; q < rowsOf(sequence, symbols); q++) seen.check(q, sequence.ints()[q], begin.ints()[q], end.ints()[q]);
          }};
}

/// Counts by rank, whose sum and whose entry of this rank a run's row counts say.
template <class Sum, class Own>
IndexCheck shares(const Node& node, size_t input, const std::string& operand, const std::string& key, size_t ranks, size_t rank, Sum&& sum,
                  Own&& own) {
  const Value& counts = *node.inputs[input];
  return {{input}, node.name + ":" + key, [=, name = node.name](const Symbols& symbols) {
            int64_t total = 0;
            for (size_t r = 0; r < ranks; r++) {
              if (counts.ints()[r] < 0) refuse(name, operand, r, "0 or more", counts.ints()[r]);
              total += counts.ints()[r];
            }
            const auto expected = static_cast<int64_t>(sum(symbols)), expectedOwn = static_cast<int64_t>(own(symbols));
            if (counts.ints()[rank] != expectedOwn)
              refuse(name, operand, rank, "what this rank has, " + std::to_string(expectedOwn), counts.ints()[rank]);
            if (total != expected)
              throw std::out_of_range(name + ": " + operand + ": expected " + std::to_string(expected) + " together, found " +
                                      std::to_string(total));
          }};
}

std::string keyOf(const Value& value) {
  return std::to_string(value.symbol) + "," + std::to_string(value.rows) + "," + std::to_string(value.columns);
}

/// The tokens that the queries see on every rank, whose own part is looked up here and whose others' on other ranks.
IndexCheck spansOf(const Node& node, size_t ranks, size_t rank) {
  return {{3, 6, 9}, "shared " + attentionKey(node), [node, ranks, rank](const Symbols& symbols) {
            const Value &sequence = *node.inputs[3], &tables = *node.inputs[6], &spans = *node.inputs[9];
            const size_t queries = rowsOf(sequence, symbols);
            SeenTokens seen(node, tables, rowsOf(tables, symbols));
            for (size_t r = 0; r < ranks; r++) {
              const int32_t *begin = spans.ints() + 2 * r * queries, *end = begin + queries;
              for (size_t q = 0; q < queries; q++) {
                if (r == rank)
                  seen.check(q, sequence.ints()[q], begin[q], end[q]);
                else if (begin[q] < 0 || end[q] < begin[q])
                  refuse(node.name, "spans of rank " + std::to_string(r), q, "the begin of a span, and an end behind it", end[q]);
              }
            }
          }};
}

/// What the adjustments of a sample refer to: counts, biases, masks; and the tokens of the biases.
IndexCheck adjustments(const Node& node) {
  const Value &all = *node.inputs[2], &biases = *node.inputs[3], &counts = *node.inputs[4], &masks = *node.inputs[5];
  const auto vocabulary = static_cast<int64_t>(node.inputs[0]->columns);
  return {{2, 3}, "sampleAdjusted:" + keyOf(*node.inputs[0]) + keyOf(counts) + keyOf(masks), [=](const Symbols& symbols) {
            const auto rows = [&](const Value& value) { return static_cast<int64_t>(rowsOf(value, symbols)); };
            for (int64_t i = 0; i < rows(all); i++) {
              const int32_t* row = all.ints() + i * kAdjustmentColumns;
              const int32_t count = row[4], begin = row[5], end = row[6], mask = row[7];
              const auto at = static_cast<size_t>(i);
              if (count >= rows(counts)) refuse("sample", "the row of counts", at, between(0, rows(counts) - 1), count);
              if (mask >= rows(masks)) refuse("sample", "the row of masks", at, between(0, rows(masks) - 1), mask);
              if (begin < 0 || begin > end) refuse("sample", "the begin of biases", at, between(0, end), begin);
              if (end > rows(biases)) refuse("sample", "the end of biases", at, between(0, rows(biases)), end);
            }
            for (int64_t i = 0; i < rows(biases); i++) {
              const int32_t token = biases.ints()[2 * i];
              if (token < 0 || token >= vocabulary)
                refuse("sample", "the token of a bias", static_cast<size_t>(i), between(0, vocabulary - 1), token);
            }
          }};
}

}  // namespace

std::vector<IndexCheck> indexChecks(const Node& node, size_t ranks, size_t rank) {
  const auto rowsIn = [&](size_t input) {
    return [value = *node.inputs[input]](const Symbols& symbols) { return static_cast<int64_t>(rowsOf(value, symbols)); };
  };
  const auto any = [](const Symbols&) { return int64_t{1} << 31; };
  const std::string& name = node.name;
  if (name == "cacheStore") {
    const auto slots = static_cast<int64_t>(blocksOf(node, 2) * static_cast<size_t>(node.number("blockTokens")));
    return {within(node, 1, "slots", 0, std::to_string(slots), [slots](const Symbols&) { return slots; })};
  }
  if (name == "gatherRows") return {within(node, 1, "indices", 0, keyOf(*node.inputs[0]), rowsIn(0))};
  if (name == "scatterRows") return {within(node, 1, "indices", INT32_MIN, keyOf(*node.inputs[2]), rowsIn(2))};
  if (name == "resolve") {
    const Value &indices = *node.inputs[0], &table = *node.inputs[1];
    return {{{0}, "resolve:" + keyOf(table), [indices, table](const Symbols& symbols) {
               const auto least = -static_cast<int64_t>(rowsOf(table, symbols));
               for (size_t i = 0; i < rowsOf(indices, symbols); i++) {
                 if (indices.ints()[i] < least)
                   refuse("resolve", "indices", i, "an index of at least " + std::to_string(least), indices.ints()[i]);
               }
             }}};
  }
  if (name == "array.take" || name == "array.indexAdd") {
    const int64_t size = node.geometry[1];
    return {within(node, 1, "indices", -size, std::to_string(size), [size](const Symbols&) { return size; })};
  }
  if (name == "sampleAdjusted") return {adjustments(node)};
  if (name == "logProbs") {
    const auto vocabulary = static_cast<int64_t>(node.inputs[0]->columns);
    return {within(node, 1, "tokens", INT32_MIN, std::to_string(vocabulary), [vocabulary](const Symbols&) { return vocabulary; })};
  }
  if (name == "countTokens") {
    const Value& counts = *node.inputs[2];
    const auto rows = static_cast<int64_t>(counts.rows), columns = static_cast<int64_t>(counts.columns);
    return {within(node, 0, "tokens", INT32_MIN, std::to_string(columns), [columns](const Symbols&) { return columns; }),
            within(node, 1, "rows", INT32_MIN, std::to_string(rows), [rows](const Symbols&) { return rows; })};
  }
  if (name == "attention") return {attention(node)};
  if (name == "sequenceAttention") {
    return {shares(node, 8, "counts", keyOf(*node.inputs[0]) + keyOf(*node.inputs[3]), ranks, rank, rowsIn(3), rowsIn(0)), attention(node),
            spansOf(node, ranks, rank)};
  }
  if (name == "allGatherRows") {
    const auto sum = [value = *node.outputs[0]](const Symbols& symbols) { return rowsOf(value, symbols); };
    return {shares(node, 1, "counts", keyOf(*node.inputs[0]) + keyOf(*node.outputs[0]), ranks, rank, sum, rowsIn(0))};
  }
  if (name == "allGatherColumns") {
    const size_t all = node.outputs[0]->columns, own = node.inputs[0]->columns;
    return {shares(
        node, 1, "widths", std::to_string(all) + "," + std::to_string(own), ranks, rank, [all](const Symbols&) { return all; },
        [own](const Symbols&) { return own; })};
  }
  if (name == "receiveParts") {
    const auto fit = within(node, 0, "counts", 0, "", any);
    const auto rows = [value = *node.outputs[0]](const Symbols& symbols) { return static_cast<int64_t>(rowsOf(value, symbols)); };
    const Value& counts = *node.inputs[0];
    return {{{0}, "receiveParts:" + keyOf(*node.outputs[0]), [counts, fit, rows](const Symbols& symbols) {
               fit.check(symbols);
               int64_t total = 0;
               for (size_t i = 0; i < rowsOf(counts, symbols); i++) total += counts.ints()[i];
               if (total > rows(symbols))
                 throw std::out_of_range("receiveParts: counts: expected at most " + std::to_string(rows(symbols)) +
                                         " rows together, found " + std::to_string(total));
             }}};
  }
  return {};
}

std::vector<size_t> indexInputs(const std::string& operation) {
  static const std::map<std::string, std::vector<size_t>> inputs{
      {"cacheStore", {1}},        {"gatherRows", {1}},         {"scatterRows", {1}},
      {"resolve", {0}},           {"attention", {3, 4, 5, 6}}, {"sequenceAttention", {3, 4, 5, 6, 8, 9}},
      {"allGatherRows", {1}},     {"allGatherColumns", {1}},   {"receiveParts", {0}},
      {"sampleAdjusted", {2, 3}}, {"countTokens", {0, 1}},     {"logProbs", {1}},
      {"array.take", {1}},        {"array.indexAdd", {1}},
  };
  const auto found = inputs.find(operation);
  return found == inputs.end() ? std::vector<size_t>() : found->second;
}

int fixedInput(const std::string& operation) { return operation == "attention" || operation == "sequenceAttention" ? 7 : -1; }

void checkFixedInput(const Node& node) {
  const Value& keyHeadOf = *node.inputs[7];
  const auto keyHeads = static_cast<int32_t>(node.number("keyHeads"));
  for (size_t head = 0; head < keyHeadOf.rows * keyHeadOf.columns; head++) {
    const int32_t found = keyHeadOf.ints()[head];
    if (found < 0 || found >= keyHeads)
      throw std::invalid_argument(node.name + ": keyHeadOf[" + std::to_string(head) + "]: expected " + between(0, keyHeads - 1) +
                                  ", found " + std::to_string(found));
    if (head > 0 && found < keyHeadOf.ints()[head - 1])
      throw std::invalid_argument(node.name + ": keyHeadOf: expected key heads in rising order, found " + std::to_string(found) +
                                  " after " + std::to_string(keyHeadOf.ints()[head - 1]));
  }
}

}  // namespace troupe::program
