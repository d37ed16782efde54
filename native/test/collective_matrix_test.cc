// Every collective for every element type, reduction, group size and a range of sizes, on every way of exchanging data,
// held against results computed in double precision (integers exactly). TROUPE_TEST_THOROUGH=1 adds the largest
// sizes to every combination (npm run test:collectives).
#include <cstdlib>
#include <cstring>

#include "check.h"
#include "elements.h"
#include "ranks.h"

using namespace troupe::collective;

namespace {

void checkReductions(Communicator& group, DataType type, Reduction reduction, size_t count) {
  const int size = group.size(), rank = group.rank();
  const auto counts = unevenCounts(count, size);
  size_t total = 0, before = 0;
  for (size_t r = 0; r < counts.size(); r++) {
    total += counts[r];
    if (r < static_cast<size_t>(rank)) before += counts[r];
  }
  const ExpectedElements expected(type, reduction, size, std::max(count, total));

  Elements in(type, count, rank), out(type, count);
  allReduce(group, in.data(), out.data(), count, type, reduction);
  CHECK(in.guarded() && out.guarded());
  expected.check(out.data(), 0, count);

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

  Elements slices(type, total, rank), slice(type, counts[static_cast<size_t>(rank)]);
  reduceScatter(group, slices.data(), slice.data(), counts.data(), type, reduction);
  CHECK(slice.guarded());
  expected.check(slice.data(), before, counts[static_cast<size_t>(rank)]);
}

void checkMoves(Communicator& group, DataType type, size_t count) {
  const int size = group.size(), rank = group.rank(), root = size - 1;
  const auto holds = [&](const uint8_t* found, int from, size_t begin, size_t length) {
    // The first period against what each element is, and the others against the one before.
    const size_t period = std::min(length, periodOf(type)), bytes = bytesOf(type);
    for (size_t i = 0; i < period; i++) {
      uint8_t expected[8];
      writeElement(expected, type, from, begin + i);
      if (std::memcmp(found + i * bytes, expected, bytes) != 0) return false;
    }
    return std::memcmp(found, found + period * bytes, (length - period) * bytes) == 0;
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
    for (size_t k = 0; k < amounts[peer]; k++, i++) {
      const size_t period = periodOf(type);
      if (k < period)
        writeElement(sent.at(i), type, rank, peer * 11 + k);
      else
        std::memcpy(sent.at(i), sent.at(i - period), bytesOf(type));
    }
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

const std::vector<int> kEverySize{1, 2, 3, 4, 5, 6, 7, 8};
/// Sanitizers see the same code with few ranks and many, and take many times as long.
const std::vector<int> kMostSizes = kHasSanitizer ? std::vector<int>{1, 2, 3, 8} : kEverySize;

/// `sizes` are the groups' when there is not time for all.
void checkEverything(const Nodes& nodes, const std::vector<int>& sizes = kMostSizes, bool encrypt = false) {
  const bool all = std::getenv("TROUPE_TEST_THOROUGH") != nullptr;
  for (int size : all ? kEverySize : sizes) {
    onRanks(
        size, nodes,
        [&](Communicator& group) {
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
        },
        encrypt);
    ElementMemory::drop();
  }
}

}  // namespace

TEST("in shared memory every collective equals its reference for every type, reduction, group size and size") { checkEverything(oneNode); }

TEST("over TCP every collective equals its reference for every type, reduction, group size and size") { checkEverything(nodeEach); }

TEST("over both every collective equals its reference for every type, reduction, group size and size") { checkEverything(twoNodes); }

TEST("over hosts with different numbers of ranks every collective equals its reference for every type, reduction and size") {
  checkEverything(unevenBlocks, {4, 5, 8});
}

TEST("encrypted, every collective equals its reference for every type, reduction and size") { checkEverything(nodeEach, {2, 3}, true); }

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
          for (size_t i = 0; i < count; i++) writeElement(in + i * bytesOf(type), type, group.rank(), i);
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
