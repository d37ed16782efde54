#include "program/schema.h"

#include <cmath>
#include <stdexcept>

#include "program/array_operations.h"

namespace troupe::program {
namespace {

using kernel::DataType;

constexpr double kMost = 2147483647;

using Types = std::vector<DataType>;
const Types kFloats{DataType::Float32};
const Types kInts{DataType::Int32};
const Types kWords{DataType::Float32, DataType::Int32};
const Types kCaches{DataType::Float32, DataType::Float16, DataType::BFloat16, DataType::Int8};
const Types kWeights{DataType::Float32, DataType::Float16, DataType::BFloat16, DataType::Q8_0, DataType::Q4_0, DataType::Q4_1,
                     DataType::Q5_0,    DataType::Q5_1,    DataType::Q4_K,     DataType::Q5_K, DataType::Q6_K};

std::string nameOf(DataType type) {
  static const char* const names[] = {"float32", "float16", "bfloat16", "int32", "int8", "uint8", "int64", "bool",
                                      "q8_0",    "q4_0",    "q4_1",     "q5_0",  "q5_1", "q4_k",  "q5_k",  "q6_k"};
  return names[static_cast<size_t>(type)];
}

std::string join(const Types& types) {
  std::string text;
  for (size_t i = 0; i < types.size(); i++) text += (i == 0 ? "" : i + 1 == types.size() ? " or " : ", ") + nameOf(types[i]);
  return text;
}

std::string text(double number) {
  if (number == std::floor(number) && std::abs(number) < 1e15) return std::to_string(static_cast<int64_t>(number));
  return std::to_string(number);
}

/// One operand and what errors call it.
struct Operand {
  const Value& value;
  std::string name;
};

/// The operands and attributes of one operation, as its schema takes them one after the other.
class Operands {
 public:
  Operands(const Node& node, size_t ranks, size_t rank) : node_(node), ranks(ranks), rank(rank) {}

  [[noreturn]] void fail(const std::string& what, const std::string& expected, const std::string& found) const {
    throw std::invalid_argument(node_.name + ": " + what + ": expected " + expected + ", found " + found);
  }

  void count(size_t inputs, size_t outputs) const {
    if (node_.inputs.size() != inputs) fail("inputs", std::to_string(inputs), std::to_string(node_.inputs.size()));
    if (node_.outputs.size() != outputs) fail("outputs", std::to_string(outputs), std::to_string(node_.outputs.size()));
  }

  Operand input(size_t index, const std::string& name, const Types& types) const {
    const Operand operand = weight(index, name, types);
    if (operand.value.isPacked) fail(name, "a matrix that is not packed", shape(operand));
    return operand;
  }
  /// The same where a packed weight will do.
  Operand weight(size_t index, const std::string& name, const Types& types) const {
    if (index >= node_.inputs.size()) fail(name, "an input", "none");
    return typed({*node_.inputs[index], name}, types);
  }
  Operand output(const Types& types, size_t index = 0) const {
    return typed({*node_.outputs[index], index == 0 ? "result" : "result " + std::to_string(index)}, types);
  }

  void columns(const Operand& operand, size_t columns) const {
    if (operand.value.columns != columns) fail(operand.name, std::to_string(columns) + " columns", shape(operand));
  }
  void fixedRows(const Operand& operand, size_t rows) const {
    if (operand.value.symbol != Value::kFixed || operand.value.rows != rows)
      fail(operand.name, std::to_string(rows) + " rows", shape(operand));
  }
  void fixedRows(const Operand& operand) const {
    if (operand.value.symbol != Value::kFixed) fail(operand.name, "a fixed number of rows", shape(operand));
  }
  /// Rows that are equal in every run: the same symbol, or the same number.
  void sameRows(const Operand& operand, const Operand& other) const {
    const Value &a = operand.value, &b = other.value;
    if (a.symbol != b.symbol || (a.symbol == Value::kFixed && a.rows != b.rows))
      fail(operand.name, "as many rows as " + other.name + " " + shape(other), shape(operand));
  }
  void sameShape(const Operand& operand, const Operand& other) const {
    sameRows(operand, other);
    columns(operand, other.value.columns);
  }
  void elements(const Operand& operand, size_t count, const std::string& what) const {
    fixedRows(operand);
    if (operand.value.rows * operand.value.columns != count)
      fail(operand.name, std::to_string(count) + " elements, one a " + what, shape(operand));
  }
  void multiple(const Operand& operand, size_t of, const std::string& what) const {
    if (operand.value.columns % of != 0) fail(operand.name, "columns in multiples of " + what + ", " + std::to_string(of), shape(operand));
  }

  double number(const std::string& key, double least, double most) const {
    const auto found = node_.numbers.find(key);
    const std::string expected = "a number from " + text(least) + " to " + text(most);
    if (found == node_.numbers.end()) fail(key, expected, "none");
    if (!(found->second >= least && found->second <= most)) fail(key, expected, text(found->second));
    return found->second;
  }
  size_t integer(const std::string& key, double least, double most) const {
    const double found = number(key, least, most);
    if (found != std::floor(found)) fail(key, "a whole number", text(found));
    return static_cast<size_t>(static_cast<int64_t>(found));
  }

  void needGroup() const {
    if (ranks == 0) fail("group", "a group of ranks", "none");
  }
  void other(const std::string& key) const {
    needGroup();
    if (integer(key, 0, static_cast<double>(ranks - 1)) == rank) fail(key, "another rank than this one", std::to_string(rank));
  }

  /// How many blocks a cache has, whose shape the attributes say.
  size_t blocks(const Operand& cache, size_t heads) const {
    fixedRows(cache);
    const size_t headBytes = kernel::cachedBytes(cache.value.type, integer("headSize", 1, 65536)),
                 blockTokens = integer("blockTokens", 1, 1 << 20);
    const size_t blockBytes = heads * blockTokens * headBytes,
                 bytes = cache.value.rows * kernel::rowBytes(cache.value.type, cache.value.columns);
    if (bytes == 0 || bytes % blockBytes != 0) fail(cache.name, "whole blocks of " + std::to_string(blockBytes) + " bytes", shape(cache));
    return bytes / blockBytes;
  }

  std::string shape(const Operand& operand) const {
    const Value& value = operand.value;
    const std::string rows = value.symbol == Value::kFixed ? std::to_string(value.rows)
                             : node_.symbols               ? node_.symbols->at(static_cast<size_t>(value.symbol))
                                                           : "a symbol";
    return (value.isPacked ? "packed " : "") + nameOf(value.type) + " [" + rows + ", " + std::to_string(value.columns) + "]";
  }

 private:
  Operand typed(Operand operand, const Types& types) const {
    for (const DataType type : types) {
      if (operand.value.type == type) return operand;
    }
    fail(operand.name, join(types), shape(operand));
  }

  const Node& node_;

 public:
  const size_t ranks, rank;
};

void embedding(const Operands& o) {
  o.count(2, 1);
  const auto tokens = o.input(0, "tokens", kInts), table = o.weight(1, "table", kWeights), y = o.output(kFloats);
  o.columns(tokens, 1);
  o.fixedRows(table);
  o.sameRows(y, tokens);
  o.columns(y, table.value.columns);
  o.integer("start", -kMost, kMost);
}

void rmsNorm(const Operands& o) {
  o.count(2, 1);
  const auto x = o.input(0, "x", kFloats), weight = o.input(1, "weight", kFloats);
  o.fixedRows(weight, 1);
  o.multiple(x, weight.value.columns, "the weight's");
  o.sameShape(o.output(kFloats), x);
  o.number("epsilon", 0, 1e30);
}

void linear(const Operands& o, const Node& node) {
  const auto x = o.input(0, "x", kFloats);
  if (node.outputs.empty()) o.fail("outputs", "at least 1", "0");
  size_t next = 1;
  for (size_t i = 0; i < node.outputs.size(); i++) {
    const auto y = o.output(kFloats, i);
    o.sameRows(y, x);
    const size_t parts = o.integer("product" + std::to_string(i), 0, 15);
    const bool isGated = parts & 4;
    if ((parts & 2 && isGated) || (parts & 8 && !isGated))
      o.fail("product" + std::to_string(i), "parts that go together", std::to_string(parts));
    const auto matrix = [&](bool bias) {
      const auto weight = o.weight(next++, "weight", kWeights);
      o.fixedRows(weight, y.value.columns);
      o.columns(weight, x.value.columns);
      if (!bias) return;
      const auto added = o.input(next++, "bias", kFloats);
      o.fixedRows(added, 1);
      o.columns(added, y.value.columns);
    };
    matrix(parts & 1);
    if (parts & 2) o.sameShape(o.input(next++, "residual", kFloats), y);
    if (isGated) matrix(parts & 8);
  }
  o.count(next, node.outputs.size());
}

void elementwise(const Operands& o) {
  o.count(2, 1);
  const auto a = o.input(0, "the first operand", kFloats);
  o.sameShape(o.input(1, "the second operand", kFloats), a);
  o.sameShape(o.output(kFloats), a);
}

void rotaryTable(const Operands& o) {
  o.count(2, 1);
  const auto positions = o.input(0, "positions", kInts), frequencies = o.input(1, "frequencies", kFloats), y = o.output(kFloats);
  o.columns(positions, 1);
  o.fixedRows(frequencies, 1);
  o.sameRows(y, positions);
  o.columns(y, 2 * frequencies.value.columns);
  o.number("scale", -1e30, 1e30);
}

void rotate(const Operands& o) {
  o.count(2, 1);
  const auto x = o.input(0, "x", kFloats), table = o.input(1, "table", kFloats);
  o.sameRows(table, x);
  o.multiple(table, 2, "two");
  o.multiple(x, table.value.columns, "the table's");
  o.sameShape(o.output(kFloats), x);
}

void cacheStore(const Operands& o) {
  o.count(3, 0);
  const auto x = o.input(0, "x", kFloats), slots = o.input(1, "slots", kInts), cache = o.input(2, "cache", kCaches);
  o.columns(slots, 1);
  o.sameRows(slots, x);
  const size_t keyHeads = o.integer("keyHeads", 1, 65536);
  o.columns(x, keyHeads * o.integer("headSize", 1, 65536));
  o.integer("areKeys", 0, 1);
  o.blocks(cache, keyHeads);
}

/// The inputs that both forms of attention take.
void attended(const Operands& o, const Operand& query) {
  const auto keys = o.input(1, "keys", kCaches), values = o.input(2, "values", kCaches), sequence = o.input(3, "sequence", kInts);
  if (values.value.type != keys.value.type) o.fail("values", "the type of the keys", o.shape(values));
  o.columns(sequence, 1);
  for (const auto& span : {o.input(4, "begin", kInts), o.input(5, "end", kInts)}) o.sameShape(span, sequence);
  o.input(6, "blockTables", kInts);
  o.multiple(query, o.integer("headSize", 1, 65536), "headSize");
  o.elements(o.input(7, "keyHeadOf", kInts), query.value.columns / o.integer("headSize", 1, 65536), "head of the query");
  const size_t keyHeads = o.integer("keyHeads", 1, 65536), blocks = o.blocks(keys, keyHeads);
  if (o.blocks(values, keyHeads) != blocks) o.fail("values", "as many blocks as the keys", o.shape(values));
  o.number("scale", -1e30, 1e30);
  o.sameShape(o.output(kFloats), query);
}

void attention(const Operands& o) {
  o.count(8, 1);
  const auto query = o.input(0, "query", kFloats);
  attended(o, query);
  o.sameRows(o.input(3, "sequence", kInts), query);
}

void gatherSpans(const Operands& o) {
  o.count(2, 1);
  o.needGroup();
  const auto begin = o.input(0, "begin", kInts), y = o.output(kInts);
  o.columns(begin, 1);
  o.sameShape(o.input(1, "end", kInts), begin);
  o.sameRows(y, begin);
  o.columns(y, 2 * o.ranks);
}

void sequenceAttention(const Operands& o) {
  o.count(10, 1);
  o.needGroup();
  attended(o, o.input(0, "query", kFloats));
  o.elements(o.input(8, "counts", kInts), o.ranks, "rank");
  const auto spans = o.input(9, "spans", kInts);
  o.sameRows(spans, o.input(3, "sequence", kInts));
  o.columns(spans, 2 * o.ranks);
}

void gatherRows(const Operands& o) {
  o.count(2, 1);
  const auto x = o.input(0, "x", kFloats), indices = o.input(1, "indices", kInts), y = o.output(kFloats);
  o.columns(indices, 1);
  o.sameRows(y, indices);
  o.columns(y, x.value.columns);
}

void scatterRows(const Operands& o) {
  o.count(3, 0);
  const auto x = o.input(0, "x", kWords), indices = o.input(1, "indices", kInts);
  o.columns(indices, 1);
  o.sameRows(indices, x);
  o.columns(o.input(2, "table", {x.value.type}), x.value.columns);
}

void resolve(const Operands& o) {
  o.count(2, 1);
  const auto indices = o.input(0, "indices", kInts);
  o.columns(indices, 1);
  o.columns(o.input(1, "table", kInts), 1);
  o.sameShape(o.output(kInts), indices);
}

void sampled(const Operands& o) {
  const auto logits = o.input(0, "logits", kFloats), settings = o.input(1, "settings", kInts), y = o.output(kInts);
  o.sameRows(settings, logits);
  o.columns(settings, 4);
  o.sameRows(y, logits);
  o.columns(y, 1);
}

void sample(const Operands& o) {
  o.count(2, 1);
  sampled(o);
}

void sampleAdjusted(const Operands& o) {
  o.count(6, 1);
  sampled(o);
  const auto logits = o.input(0, "logits", kFloats), adjustments = o.input(2, "adjustments", kInts);
  o.sameRows(adjustments, logits);
  o.columns(adjustments, kAdjustmentColumns);
  o.columns(o.input(3, "biases", kInts), 2);
  o.columns(o.input(4, "counts", kInts), logits.value.columns);
  o.columns(o.input(5, "masks", kInts), (logits.value.columns + 31) / 32);
}

void countTokens(const Operands& o) {
  o.count(3, 0);
  const auto tokens = o.input(0, "tokens", kInts);
  o.columns(tokens, 1);
  o.sameShape(o.input(1, "rows", kInts), tokens);
  o.fixedRows(o.input(2, "counts", kInts));
}

void logProbs(const Operands& o) {
  o.count(3, 1);
  const auto logits = o.input(0, "logits", kFloats), y = o.output(kFloats);
  for (const auto& each : {o.input(1, "tokens", kInts), o.input(2, "wanted", kInts)}) {
    o.sameRows(each, logits);
    o.columns(each, 1);
  }
  o.sameRows(y, logits);
  if (y.value.columns % 2 == 0) o.fail("result", "a column, and two for each of the likeliest", o.shape(y));
}

void allReduce(const Operands& o) {
  o.count(1, 1);
  o.needGroup();
  o.sameShape(o.output(kFloats), o.input(0, "x", kFloats));
  const size_t bits = o.integer("bits", 8, 32);
  if (bits != 8 && bits != 16 && bits != 32) o.fail("bits", "32, 16 or 8", std::to_string(bits));
}

void allGatherRows(const Operands& o) {
  o.count(2, 1);
  o.needGroup();
  const auto x = o.input(0, "x", kWords);
  o.elements(o.input(1, "counts", kInts), o.ranks, "rank");
  o.columns(o.output({x.value.type}), x.value.columns);
}

void allGatherColumns(const Operands& o) {
  o.count(2, 1);
  o.needGroup();
  const auto x = o.input(0, "x", kFloats);
  o.elements(o.input(1, "widths", kInts), o.ranks, "rank");
  o.sameRows(o.output(kFloats), x);
}

void send(const Operands& o) {
  o.count(1, 0);
  o.input(0, "x", kWords);
  o.other("to");
}

void receive(const Operands& o) {
  o.count(0, 1);
  o.output(kWords);
  o.other("from");
}

void receiveParts(const Operands& o) {
  o.count(1, 1);
  o.columns(o.input(0, "counts", kInts), 1);
  o.output(kInts);
  o.other("from");
}

const std::map<std::string, void (*)(const Operands&)> kSchemas{
    {"embedding", embedding},
    {"rmsNorm", rmsNorm},
    {"add", elementwise},
    {"siluMultiply", elementwise},
    {"rotaryTable", rotaryTable},
    {"rotate", rotate},
    {"cacheStore", cacheStore},
    {"attention", attention},
    {"gatherSpans", gatherSpans},
    {"gatherRows", gatherRows},
    {"scatterRows", scatterRows},
    {"resolve", resolve},
    {"sample", sample},
    {"sampleAdjusted", sampleAdjusted},
    {"countTokens", countTokens},
    {"logProbs", logProbs},
    {"allReduce", allReduce},
    {"allGatherRows", allGatherRows},
    {"allGatherColumns", allGatherColumns},
    {"send", send},
    {"receive", receive},
    {"receiveParts", receiveParts},
    {"sequenceAttention", sequenceAttention},
};

}  // namespace

void checkOperation(const Node& node, size_t ranks, size_t rank) {
  const Operands operands(node, ranks, rank);
  for (const auto* list : {&node.inputs, &node.outputs}) {
    for (const Value* value : *list) {
      const auto block = kernel::blockSizeOf(value->type).elements;
      const bool isWhole = value->columns >= 1 && value->columns <= kMost && value->columns % block == 0;
      if (!isWhole || value->rows > kMost)
        operands.fail("a matrix", "1 to 2147483647 columns, in whole blocks of its type", operands.shape({*value, ""}));
    }
  }
  if (isArrayOperation(node.name)) return checkArrayOperation(node);
  if (node.name == "linear") return linear(operands, node);
  const auto found = kSchemas.find(node.name);
  if (found == kSchemas.end()) throw std::invalid_argument("no operation is called " + node.name);
  found->second(operands);
}

int writtenInput(const std::string& operation) {
  if (operation == "array.assign") return 1;
  return operation == "cacheStore" || operation == "scatterRows" || operation == "countTokens" ? 2 : -1;
}

}  // namespace troupe::program
