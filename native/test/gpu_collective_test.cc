// Collectives on GPUs equal their references, and ranks meet over NCCL.
#include "gpu_ranks.h"

using namespace troupe;
using namespace troupe::collective;

namespace {

void checkReductionsOnGpus(const Communicator& group, nccl::GpuGroup& gpus, const std::shared_ptr<cuda::Gpu>& gpu, DataType type,
                           Reduction reduction, size_t count) {
  const int size = group.size(), rank = group.rank(), root = size / 2;
  GpuElements in(gpu, type, count, rank), out(gpu, type, count), inPlace(gpu, type, count, rank), atRoot(gpu, type, count);
  gpus.allReduce(in.data(), out.data(), count, type, reduction);
  gpus.allReduce(inPlace.data(), inPlace.data(), count, type, reduction);
  gpus.reduce(in.data(), rank == root ? atRoot.data() : nullptr, count, type, reduction, root);
  const auto uneven = unevenCounts(count, size);
  const std::vector<size_t> even(static_cast<size_t>(size), count);
  std::vector<std::pair<GpuElements, size_t>> slices;
  std::vector<GpuElements> wholes;
  for (const auto& counts : {uneven, even}) {
    size_t total = 0, before = 0;
    for (size_t r = 0; r < counts.size(); r++) {
      total += counts[r];
      if (r < static_cast<size_t>(rank)) before += counts[r];
    }
    wholes.emplace_back(gpu, type, total, rank);
    slices.emplace_back(GpuElements(gpu, type, counts[static_cast<size_t>(rank)]), before);
    gpus.reduceScatter(wholes.back().data(), slices.back().first.data(), counts.data(), type, reduction);
  }
  gpus.wait();
  out.fetch();
  inPlace.fetch();
  atRoot.fetch();
  for (size_t i = 0; i < count; i++) checkReduced(out.at(i), type, reduction, size, i);
  CHECK(count == 0 || std::memcmp(out.at(0), inPlace.at(0), out.bytes()) == 0);
  CHECK(count == 0 || rank != root || std::memcmp(out.at(0), atRoot.at(0), out.bytes()) == 0);
  for (auto& [slice, before] : slices) {
    slice.fetch();
    for (size_t i = 0; i < slice.bytes() / bytesOf(type); i++) checkReduced(slice.at(i), type, reduction, size, before + i);
  }
}

void checkMovesOnGpus(const Communicator& group, nccl::GpuGroup& gpus, const std::shared_ptr<cuda::Gpu>& gpu, DataType type, size_t count) {
  const int size = group.size(), rank = group.rank(), root = size - 1;
  const size_t width = bytesOf(type);
  const auto holds = [&](const GpuElements& found, size_t at, int from, size_t begin, size_t length) {
    for (size_t i = 0; i < length; i++) {
      uint8_t expected[8];
      writeElement(expected, type, from, begin + i);
      if (std::memcmp(found.at(at + i), expected, width) != 0) return false;
    }
    return true;
  };
  for (const auto& counts : {unevenCounts(count, size), std::vector<size_t>(static_cast<size_t>(size), count)}) {
    const size_t own = counts[static_cast<size_t>(rank)];
    std::vector<size_t> bytes, offsets{0}, toEach, fromEach;
    for (size_t r = 0; r < counts.size(); r++) {
      bytes.push_back(counts[r] * width);
      offsets.push_back(offsets.back() + counts[r]);
      // Rank r sends rank s as many as r has, and s more.
      toEach.push_back((own + r) * width);
      fromEach.push_back((counts[r] + static_cast<size_t>(rank)) * width);
    }
    const size_t total = offsets.back();
    const size_t sendTotal = own * static_cast<size_t>(size) + static_cast<size_t>(size * (size - 1) / 2);
    GpuElements mine(gpu, type, own, rank), all(gpu, type, total), gathered(gpu, type, rank == root ? total : 0);
    GpuElements whole(gpu, type, total, root), scattered(gpu, type, own), sent(gpu, type, total, rank);
    GpuElements outgoing(gpu, type, sendTotal, rank), incoming(gpu, type, total + static_cast<size_t>(size * rank));
    gpus.allGather(mine.data(), bytes.data(), all.data(), type);
    gpus.gather(mine.data(), bytes.data(), gathered.data(), root, type);
    gpus.scatter(rank == root ? whole.data() : nullptr, bytes.data(), scattered.data(), root, type);
    gpus.broadcast(sent.data(), sent.data(), total * width, root, type);
    gpus.allToAll(outgoing.data(), toEach.data(), incoming.data(), fromEach.data(), type);
    GpuElements next(gpu, type, count, rank), previous(gpu, type, count);
    const int to = (rank + 1) % size, from = (rank + size - 1) % size;
    if (size > 1) gpus.exchange({{to, true, next.data(), next.bytes(), type}, {from, false, previous.data(), previous.bytes(), type}});
    gpus.wait();
    for (auto* elements : {&all, &gathered, &scattered, &sent, &incoming, &previous}) elements->fetch();
    size_t at = 0;
    for (int r = 0; r < size; r++) {
      const size_t begin = offsets[static_cast<size_t>(r)], length = counts[static_cast<size_t>(r)];
      CHECK(holds(all, begin, r, 0, length));
      CHECK(rank != root || holds(gathered, begin, r, 0, length));
      // What r sent to the ranks before this one comes first among what it sent.
      const size_t before = length * static_cast<size_t>(rank) + static_cast<size_t>(rank * (rank - 1) / 2);
      CHECK(holds(incoming, at, r, before, length + static_cast<size_t>(rank)));
      at += length + static_cast<size_t>(rank);
    }
    CHECK(holds(scattered, 0, root, offsets[static_cast<size_t>(rank)], own));
    CHECK(holds(sent, 0, root, 0, total));
    CHECK(size == 1 || holds(previous, 0, from, 0, count));
  }
}

}  // namespace

TEST("on GPUs every collective equals its reference for every type, reduction, group size and size") {
  const bool all = std::getenv("TROUPE_TEST_THOROUGH") != nullptr;
  for (int size = 1; size <= mostRanks(); size++) {
    onGpus(size, size % 2 == 0 ? oneNode : nodeEach, [&](Communicator& group, nccl::GpuGroup& gpus, const std::shared_ptr<cuda::Gpu>& gpu) {
      for (DataType type : kReducible) {
        std::vector<size_t> counts{0, 1, 67};
        if (all) counts.insert(counts.end(), {9'001, (1 << 20) / bytesOf(type)});
        if (all && size == 2) counts.push_back((16 << 20) / bytesOf(type));
        for (size_t count : counts) {
          checkMovesOnGpus(group, gpus, gpu, type, count);
          for (Reduction reduction : kAll) {
            // NCCL adds whole numbers up in their own type before it divides.
            if (reduction == Reduction::Average && !isFloat(type)) continue;
            if (!all && size > (kHasSanitizer ? 2 : 3) && reduction != Reduction::Sum) continue;
            checkReductionsOnGpus(group, gpus, gpu, type, reduction, count);
          }
        }
      }
      checkMovesOnGpus(group, gpus, gpu, DataType::UInt8, 5'003);
    });
  }
}

TEST("ranks that name their GPUs meet over NCCL when they connect, and may begin with a message") {
  openDouble();
  std::vector<std::unique_ptr<Communicator>> groups;
  std::vector<RankAddress> addresses;
  for (int rank = 0; rank < 2; rank++) {
    Communicator::Options options;
    options.name = "test";
    options.node = "a";
    options.gpu = rank;
    groups.push_back(std::make_unique<Communicator>(rank, 2, options));
    addresses.push_back(groups.back()->address());
  }
  std::vector<std::thread> threads;
  for (auto& group : groups) {
    threads.emplace_back([&, group = group.get()] {
      group->connect(addresses);
      CHECK(group->gpus() != nullptr);
      const auto gpu = cuda::Gpu::open(group->rank());
      GpuElements elements(gpu, DataType::Int32, 5, group->rank());
      group->gpus()->exchange({{1 - group->rank(), group->rank() == 0, elements.data(), elements.bytes(), DataType::Int32}});
      group->gpus()->wait();
      elements.fetch();
      uint8_t expected[4];
      for (size_t i = 0; i < 5; i++) {
        writeElement(expected, DataType::Int32, 0, i);
        CHECK(std::memcmp(elements.at(i), expected, sizeof expected) == 0);
      }
      group->close();
    });
  }
  for (auto& thread : threads) thread.join();
}

TEST("parts of a group that met over NCCL meet there as well") {
  openDouble();
  const int size = mostRanks() < 4 ? 2 : 4;
  std::vector<std::unique_ptr<Communicator>> parts;
  std::vector<RankAddress> addresses;
  for (int rank = 0; rank < size; rank++) {  // even ranks together, and odd ones, each in reverse order
    Communicator::Options options;
    options.name = "part";
    options.node = "a";
    parts.push_back(std::make_unique<Communicator>((size - 1 - rank) / 2, size / 2, options));
    addresses.push_back(parts.back()->address());
  }
  onGpus(size, oneNode, [&](Communicator& group, nccl::GpuGroup& gpus, const std::shared_ptr<cuda::Gpu>& gpu) {
    Communicator& part = *parts[static_cast<size_t>(group.rank())];
    std::vector<RankAddress> members;
    for (int rank = size - 2 + group.rank() % 2; rank >= 0; rank -= 2) {
      members.push_back(addresses[static_cast<size_t>(rank)]);
      members.back().rank = static_cast<int>(members.size()) - 1;
    }
    part.connect(members);
    group.splitGpus(part, group.rank() % 2, -group.rank());
    CHECK(part.gpus() != nullptr && &gpus == group.gpus());
    GpuElements e(gpu, DataType::Int32, 9, part.rank());
    part.gpus()->allReduce(e.data(), e.data(), 9, DataType::Int32, Reduction::Sum);
    part.gpus()->wait();
    e.fetch();
    for (size_t i = 0; i < 9; i++) checkReduced(e.at(i), DataType::Int32, Reduction::Sum, size / 2, i);
    void* registration = gpus.registerMemory(e.data(), e.bytes());
    CHECK(registration != nullptr);
    gpus.deregisterMemory(registration);
    part.close();
  });
}
