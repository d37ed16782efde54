// Every collective for every element type, reduction, group size and a range of sizes, on every way of exchanging data,
// held against results computed in double precision (integers exactly). TROUPE_TEST_THOROUGH=1 adds the largest
// sizes to every combination (npm run test:collectives).
#include <cmath>
#include <cstdlib>
#include <cstring>

#include "check.h"
#include "ranks.h"

using namespace troupe::collective;

namespace {

constexpr DataType kReducible[] = {DataType::Float32, DataType::Float16, DataType::BFloat16, DataType::Int8, DataType::Int32, DataType::Int64};
constexpr Reduction kAll[] = {Reduction::Sum, Reduction::Product, Reduction::Minimum, Reduction::Maximum, Reduction::Average};

bool isFloat(DataType type) { return type == DataType::Float32 || type == DataType::Float16 || type == DataType::BFloat16; }

double read(const uint8_t* from, DataType type) {
  const auto as = [from](auto value) {
    std::memcpy(&value, from, sizeof value);
    return value;
  };
  switch (type) {
    case DataType::Float32: return as(float{});
    case DataType::Float16: {
      const uint16_t bits = as(uint16_t{});
      const int exponent = bits >> 10 & 31, fraction = bits & 1023;
      const double magnitude = exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, exponent - 25);
      return bits & 0x8000 ? -magnitude : magnitude;
    }
    case DataType::BFloat16: {
      const uint32_t wide = static_cast<uint32_t>(as(uint16_t{})) << 16;
      float value;
      std::memcpy(&value, &wide, sizeof value);
      return value;
    }
    case DataType::Int8: return as(int8_t{});
    case DataType::Int32: return as(int32_t{});
    case DataType::Int64: return static_cast<double>(as(int64_t{}));
    case DataType::UInt8: return as(uint8_t{});
  }
  return 0;
}

/// Element i of rank r: any value of a small range that the type holds exactly, so that references are exact too.
void write(uint8_t* to, DataType type, int rank, size_t i) {
  const int value = static_cast<int>((i * 7 + static_cast<size_t>(rank) * 3) % 5) - 2;  // -2 to 2
  const auto put = [to](auto element) { std::memcpy(to, &element, sizeof element); };
  switch (type) {
    case DataType::Float32: return put(0.37f * static_cast<float>(value) + 1e-3f * static_cast<float>(i % 97));
    case DataType::Float16: return put(static_cast<uint16_t>((value < 0 ? 0x8000 : 0) | (0x3800 + i * 37 % 1024)));  // ±0.5 to ±1
    case DataType::BFloat16: return put(static_cast<uint16_t>((value < 0 ? 0x8000 : 0) | (0x3f00 + i * 37 % 128)));
    case DataType::Int8: return put(static_cast<int8_t>(value));
    case DataType::Int32: return put(value);
    case DataType::Int64: return put(static_cast<int64_t>(value) * (1 << 20));
    case DataType::UInt8: return put(static_cast<uint8_t>(i * 31 + static_cast<size_t>(rank)));
  }
}

/// Elements begin one byte after a boundary, and guards follow them.
class Elements {
 public:
  Elements(DataType type, size_t count) : type_(type), count_(count), memory_(count * bytesOf(type) + 17, 0xa5) {}
  Elements(DataType type, size_t count, int rank) : Elements(type, count) {
    for (size_t i = 0; i < count; i++) write(at(i), type, rank, i);
  }
  uint8_t* data() { return memory_.data() + 1; }
  uint8_t* at(size_t i) { return data() + i * bytesOf(type_); }
  size_t bytes() const { return count_ * bytesOf(type_); }
  bool guarded() const {
    if (memory_[0] != 0xa5) return false;
    for (size_t i = bytes() + 1; i < memory_.size(); i++) {
      if (memory_[i] != 0xa5) return false;
    }
    return true;
  }

 private:
  DataType type_;
  size_t count_;
  std::vector<uint8_t> memory_;
};

void checkReduced(const uint8_t* found, DataType type, Reduction reduction, int size, size_t i) {
  double value = 0, magnitude = 0;
  for (int rank = 0; rank < size; rank++) {
    uint8_t bytes[8];
    write(bytes, type, rank, i);
    const double x = read(bytes, type);
    switch (reduction) {
      case Reduction::Sum:
      case Reduction::Average: value += x; break;
      case Reduction::Product: value = rank == 0 ? x : value * x; break;
      case Reduction::Minimum: value = rank == 0 ? x : std::min(value, x); break;
      case Reduction::Maximum: value = rank == 0 ? x : std::max(value, x); break;
    }
    magnitude = std::max({magnitude, std::abs(x), std::abs(value)});
  }
  if (reduction == Reduction::Average) value = isFloat(type) ? value / size : std::trunc(value / size);
  if (isFloat(type)) {
    const double step = type == DataType::Float32 ? 0x1p-23 : type == DataType::Float16 ? 0x1p-11 : 0x1p-8;
    CHECK(std::abs(read(found, type) - value) <= magnitude * (step + size * 0x1p-23));
  } else {
    // Integers wrap around.
    if (type == DataType::Int8) value = static_cast<int8_t>(static_cast<int64_t>(value));
    if (type == DataType::Int64 && std::abs(value) >= 0x1p63) return;  // a double cannot say what is left
    CHECK(read(found, type) == value);
  }
}

std::vector<size_t> unevenCounts(size_t count, int size) {
  std::vector<size_t> counts(static_cast<size_t>(size));
  for (size_t r = 0; r < counts.size(); r++) counts[r] = r % 3 == 1 ? 0 : count / counts.size() + r;
  return counts;
}

void checkReductions(Communicator& group, DataType type, Reduction reduction, size_t count) {
  const int size = group.size(), rank = group.rank();
  Elements in(type, count, rank), out(type, count);
  allReduce(group, in.data(), out.data(), count, type, reduction);
  CHECK(in.guarded() && out.guarded());
  for (size_t i = 0; i < count; i++) checkReduced(out.at(i), type, reduction, size, i);

  Elements again(type, count, rank);  // in place, and the same bits
  allReduce(group, again.data(), again.data(), count, type, reduction);
  CHECK(std::memcmp(again.data(), out.data(), out.bytes()) == 0);
  std::vector<size_t> bytes(static_cast<size_t>(size), out.bytes());
  Elements all(type, count * static_cast<size_t>(size));
  allGather(group, out.data(), bytes.data(), all.data(), type);
  for (size_t r = 0; r < static_cast<size_t>(size); r++) CHECK(std::memcmp(all.at(r * count), out.data(), out.bytes()) == 0);

  const int root = size / 2;
  Elements atRoot(type, rank == root ? count : 0);
  reduce(group, in.data(), rank == root ? atRoot.data() : nullptr, count, type, reduction, root);
  CHECK(atRoot.guarded() && (rank != root || std::memcmp(atRoot.data(), out.data(), out.bytes()) == 0));

  const auto counts = unevenCounts(count, size);
  size_t total = 0, before = 0;
  for (size_t r = 0; r < counts.size(); r++) {
    total += counts[r];
    if (r < static_cast<size_t>(rank)) before += counts[r];
  }
  Elements slices(type, total, rank), slice(type, counts[static_cast<size_t>(rank)]);
  reduceScatter(group, slices.data(), slice.data(), counts.data(), type, reduction);
  CHECK(slice.guarded());
  for (size_t i = 0; i < counts[static_cast<size_t>(rank)]; i++) checkReduced(slice.at(i), type, reduction, size, before + i);
}

void checkMoves(Communicator& group, DataType type, size_t count) {
  const int size = group.size(), rank = group.rank(), root = size - 1;
  const auto holds = [&](uint8_t* found, int from, size_t begin, size_t length) {
    for (size_t i = 0; i < length; i++) {
      uint8_t expected[8];
      write(expected, type, from, begin + i);
      if (std::memcmp(found + i * bytesOf(type), expected, bytesOf(type)) != 0) return false;
    }
    return true;
  };
  auto counts = unevenCounts(count, size), bytes = counts;
  size_t total = 0, before = 0;
  for (size_t r = 0; r < counts.size(); r++) {
    bytes[r] *= bytesOf(type);
    if (r < static_cast<size_t>(rank)) before += counts[r];
    total += counts[r];
  }
  const size_t ownCount = counts[static_cast<size_t>(rank)];

  Elements own(type, ownCount, rank), all(type, total), gathered(type, total);
  allGather(group, own.data(), bytes.data(), all.data(), type);
  gather(group, own.data(), bytes.data(), gathered.data(), root, type);
  for (size_t r = 0, begin = 0; r < counts.size(); begin += counts[r++]) {
    CHECK(holds(all.at(begin), static_cast<int>(r), 0, counts[r]));
    CHECK(rank != root || holds(gathered.at(begin), static_cast<int>(r), 0, counts[r]));
  }

  Elements source(type, total, root), slice(type, ownCount);
  scatter(group, source.data(), bytes.data(), slice.data(), root, type);
  CHECK(slice.guarded() && holds(slice.data(), root, before, ownCount));

  Elements data(type, count, rank);
  broadcast(group, data.data(), data.data(), data.bytes(), root, type);
  CHECK(data.guarded() && holds(data.data(), root, 0, count));

  // Rank r sends (r + peer) % 4 quarters of `count` to each peer.
  std::vector<size_t> amounts(counts.size()), amountBytes(counts.size());
  size_t amount = 0;
  for (size_t peer = 0; peer < amounts.size(); peer++) {
    amounts[peer] = count / 4 * ((static_cast<size_t>(rank) + peer) % 4);
    amountBytes[peer] = amounts[peer] * bytesOf(type);
    amount += amounts[peer];
  }
  Elements sent(type, amount), received(type, amount);
  for (size_t peer = 0, i = 0; peer < amounts.size(); peer++) {
    for (size_t k = 0; k < amounts[peer]; k++) write(sent.at(i++), type, rank, peer * 11 + k);
  }
  allToAll(group, sent.data(), amountBytes.data(), received.data(), amountBytes.data(), type);
  CHECK(received.guarded());
  for (size_t peer = 0, i = 0; peer < amounts.size(); i += amounts[peer++]) {
    CHECK(holds(received.at(i), static_cast<int>(peer), static_cast<size_t>(rank) * 11, amounts[peer]));
  }

  if (size > 1) {  // two messages around a ring, all at once
    Elements first(type, count, rank), second(type, count / 2, rank), in1(type, count), in2(type, count / 2);
    const int next = (rank + 1) % size, previous = (rank + size - 1) % size;
    exchange(group, {{next, true, first.data(), first.bytes(), type},
                     {next, true, second.data(), second.bytes(), type},
                     {previous, false, in1.data(), in1.bytes(), type},
                     {previous, false, in2.data(), in2.bytes(), type}});
    CHECK(holds(in1.data(), previous, 0, count) && holds(in2.data(), previous, 0, count / 2));
  }
  barrier(group);
}

void checkEverything(const Nodes& nodes) {
  const bool all = std::getenv("TROUPE_TEST_THOROUGH") != nullptr;
  for (int size = 1; size <= 8; size++) {
    onRanks(size, nodes, [&](Communicator& group) {
      for (DataType type : kReducible) {
        // Both sides of the change of algorithm, pieces that are not whole, and more than one piece.
        std::vector<size_t> counts{0, 1, 67, 9'001};
        if (type == DataType::BFloat16 || all) counts.push_back(300'007);
        if (all) counts.push_back((16 << 20) / bytesOf(type));
        for (size_t count : counts) {
          checkMoves(group, type, count);
          for (Reduction reduction : kAll) {
            if (count <= 67 || all || reduction == Reduction::Sum) checkReductions(group, type, reduction, count);
          }
        }
      }
      checkMoves(group, DataType::UInt8, 5'003);
    });
  }
}

}  // namespace

TEST("in shared memory every collective equals its reference for every type, reduction, group size and size") { checkEverything(oneNode); }

TEST("over TCP every collective equals its reference for every type, reduction, group size and size") { checkEverything(nodeEach); }

TEST("over both every collective equals its reference for every type, reduction, group size and size") { checkEverything(twoNodes); }

TEST("over hosts with different numbers of ranks every collective equals its reference for every type, reduction and size") {
  checkEverything(unevenBlocks);
}

TEST("an all-reduce of 16 MiB gives every rank the sum") {
  for (const auto& nodes : {oneNode, nodeEach}) {
    onRanks(3, nodes, [](Communicator& group) {
      const size_t count = (16 << 20) / sizeof(float);
      Elements data(DataType::Float32, count, group.rank());
      allReduce(group, data.data(), data.data(), count, DataType::Float32, Reduction::Sum);
      for (size_t i = 0; i < count; i += 61) checkReduced(data.at(i), DataType::Float32, Reduction::Sum, 3, i);
    });
  }
}

TEST("operands that all ranks can map are reduced where they are, in place or not, and in private memory as well") {
  for (int size : {2, 3, 8}) {
    onRanks(size, oneNode, [&](Communicator& group) {
      for (DataType type : {DataType::Float32, DataType::BFloat16}) {
        for (size_t count : {size_t{40'000}, size_t{300'007}}) {
          const size_t bytes = count * bytesOf(type);
          const auto memory = troupe::SharedMemory::create(2 * bytes + 10, false);
          uint8_t *in = memory->data() + 3, *out = in + bytes + 2;
          for (size_t i = 0; i < count; i++) write(in + i * bytesOf(type), type, group.rank(), i);
          Elements kept(type, count, group.rank());
          // One rank's output may be private: all ranks then take the other way, to the same bits.
          allReduce(group, in, group.rank() == 1 ? kept.data() : out, count, type, Reduction::Sum);
          if (group.rank() == 1) std::memcpy(out, kept.data(), bytes);
          const std::vector<uint8_t> first(out, out + bytes);
          std::memset(out, 0, bytes);
          allReduce(group, in, out, count, type, Reduction::Sum);
          CHECK(std::memcmp(out, first.data(), bytes) == 0);
          allReduce(group, in, in, count, type, Reduction::Sum);
          CHECK(std::memcmp(in, first.data(), bytes) == 0);
          for (size_t i = 0; i < count; i += 7) checkReduced(in + i * bytesOf(type), type, Reduction::Sum, size, i);
          barrier(group);
        }
      }
    });
  }
}
