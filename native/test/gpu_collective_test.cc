// The NCCL backend, run against the test double of NCCL and of the CUDA driver in gpu_double/, which is opened in their
// place. TROUPE_TEST_GPUS=1 opens the real libraries instead, on a machine with GPUs; what can only be asked of the test
// double is left out then.
#include <csignal>
#include <cstdlib>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "collective/nccl/gpu_group.h"
#include "device/storage.h"
#include "elements.h"
#include "ranks.h"

using namespace troupe;
using namespace troupe::collective;

namespace {

bool usesRealGpus() { return std::getenv("TROUPE_TEST_GPUS") != nullptr; }

void openDouble() {
  if (usesRealGpus()) return;
  setenv("TROUPE_NCCL", TROUPE_GPU_DOUBLE, 1);
  setenv("TROUPE_CUDA", TROUPE_GPU_DOUBLE, 1);
}

int mostRanks() {
  openDouble();
  return std::min(8, cuda::deviceCount());
}

/// Elements on a GPU, and a copy of them on the host.
class GpuElements {
 public:
  GpuElements(const std::shared_ptr<cuda::Gpu>& gpu, DataType type, size_t count)
      : type_(type), bytes_(count * bytesOf(type)), device_(Storage::allocateOn(gpu, bytes_ + kBefore)), host_(Storage::allocate(bytes_)) {}
  GpuElements(const std::shared_ptr<cuda::Gpu>& gpu, DataType type, size_t count, int rank) : GpuElements(gpu, type, count) {
    for (size_t i = 0; i < count; i++) writeElement(host_->data() + i * bytesOf(type), type, rank, i);
    if (bytes_ > 0) cuda::copy({host_->data(), nullptr}, {data(), device_->gpu()}, bytes_);
  }
  uint8_t* data() { return device_->data() + kBefore; }
  size_t bytes() const { return bytes_; }
  /// Element i as it is on the GPU now; fetch() brings them all.
  const uint8_t* at(size_t i) const { return host_->data() + i * bytesOf(type_); }
  void fetch() {
    if (bytes_ > 0) cuda::copy({data(), device_->gpu()}, {host_->data(), nullptr}, bytes_);
  }

 private:
  static constexpr size_t kBefore = 8;  // elements of a view begin within an allocation

  DataType type_;
  size_t bytes_;
  std::shared_ptr<Storage> device_, host_;
};

Signature anySignature() { return {OperationKind::AllReduce, DataType::Float32, Reduction::Sum, 1, -1, 4, 0}; }

using OnGpu = std::function<void(Communicator&, nccl::GpuGroup&, const std::shared_ptr<cuda::Gpu>&)>;

void onGpus(int size, const Nodes& nodes, const OnGpu& body) {
  onRanks(size, nodes, [&](Communicator& group) {
    const auto gpu = cuda::Gpu::open(group.rank());
    body(group, group.onGpu(gpu, anySignature()), gpu);
  });
}

void checkReductionsOnGpus(const Communicator& group, nccl::GpuGroup& gpus, const std::shared_ptr<cuda::Gpu>& gpu, DataType type, Reduction reduction,
                           size_t count) {
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

/// Runs `body` on every rank, and gives what each one's CollectiveError said.
std::vector<std::string> failures(int size, const Nodes& nodes, const OnGpu& body) {
  std::vector<std::string> reasons(static_cast<size_t>(size));
  onRanks(size, nodes, [&](Communicator& group) {
    try {
      const auto gpu = cuda::Gpu::open(group.rank());
      body(group, group.onGpu(gpu, anySignature()), gpu);
    } catch (const std::exception& error) {
      reasons[static_cast<size_t>(group.rank())] = error.what();
    }
  });
  return reasons;
}

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

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

TEST("a message between GPUs of ranks that have not met over NCCL is refused with what to do") {
  openDouble();
  onRanks(2, oneNode, [](Communicator& group) {
    std::string reason;
    try {
      group.onGpu(cuda::Gpu::open(0), {OperationKind::PointToPoint});
    } catch (const std::invalid_argument& error) {
      reason = error.what();
    }
    CHECK(has(reason, "has not met over NCCL") && has(reason, "run a collective"));
  });
}

TEST("a rank whose tensor is in host memory while the others' are on GPUs is named") {
  openDouble();
  for (const auto& nodes : {oneNode, nodeEach, unevenBlocks}) {
    const int size = mostRanks() < 4 ? 2 : 4;
    const auto reasons = failures(size, nodes, [size](Communicator& group, nccl::GpuGroup& gpus, const std::shared_ptr<cuda::Gpu>& gpu) {
      std::vector<float> values(100, 1);
      GpuElements elements(gpu, DataType::Float32, 100, group.rank());
      auto* bytes = reinterpret_cast<uint8_t*>(values.data());
      if (group.rank() == size - 1) return allReduce(group, bytes, bytes, 100, DataType::Float32, Reduction::Sum);
      gpus.allReduce(elements.data(), elements.data(), 100, DataType::Float32, Reduction::Sum);
      gpus.wait();
    });
    const std::string last = std::to_string(size - 1);
    std::string all;
    for (const auto& reason : reasons) {
      CHECK(!reason.empty());
      all += reason + "\n";
    }
    CHECK(has(all, "rank " + last + " holds the tensor of its all-reduce (sum) of 100 float32 in host memory"));
    CHECK(has(all, "on a GPU"));
  }
}

TEST("ranks that disagree on an operation on GPUs are told what the other does, where NCCL would hang") {
  openDouble();
  const OnGpu starts[] = {
      [](Communicator&, nccl::GpuGroup& gpus, const std::shared_ptr<cuda::Gpu>& gpu) {
        GpuElements e(gpu, DataType::Float32, 11);
        gpus.allReduce(e.data(), e.data(), 11, DataType::Float32, Reduction::Sum);
        gpus.wait();
      },
      [](Communicator&, nccl::GpuGroup& gpus, const std::shared_ptr<cuda::Gpu>& gpu) {
        GpuElements e(gpu, DataType::Float32, 10);
        gpus.broadcast(e.data(), e.data(), 40, 0, DataType::Float32);
        gpus.wait();
      },
      [](Communicator& group, nccl::GpuGroup& gpus, const std::shared_ptr<cuda::Gpu>& gpu) {
        GpuElements e(gpu, DataType::Float32, 10);
        gpus.exchange({{1 - group.rank(), true, e.data(), 40, DataType::Float32}});
        gpus.wait();
        group.agree({});  // who sends may not learn of it before
      },
  };
  for (const auto& nodes : {oneNode, nodeEach}) {
    for (const auto& start : starts) {
      const auto reasons = failures(2, nodes, [&](Communicator& group, nccl::GpuGroup& gpus, const std::shared_ptr<cuda::Gpu>& gpu) {
        if (group.rank() == 0) return start(group, gpus, gpu);
        GpuElements e(gpu, DataType::Float32, 10);
        gpus.allReduce(e.data(), e.data(), 10, DataType::Float32, Reduction::Sum);
        gpus.wait();
      });
      CHECK(!reasons[0].empty() && !reasons[1].empty());
      CHECK(has(reasons[0] + reasons[1], "same operations in the same order"));
    }
  }
}

TEST("an error that NCCL reports later ends the operation on all ranks with NCCL's text, the rank and the operation") {
  if (usesRealGpus()) return;
  openDouble();
  setenv("TROUPE_DOUBLE_FAIL_AT", "2", 1);
  const auto reasons = failures(2, oneNode, [](Communicator& group, nccl::GpuGroup& gpus, const std::shared_ptr<cuda::Gpu>& gpu) {
    GpuElements e(gpu, DataType::Float32, 10, group.rank());
    gpus.allReduce(e.data(), e.data(), 10, DataType::Float32, Reduction::Sum);
    gpus.wait();
    gpus.allReduce(e.data(), e.data(), 10, DataType::Float32, Reduction::Maximum);
    gpus.wait();
  });
  unsetenv("TROUPE_DOUBLE_FAIL_AT");
  for (size_t rank = 0; rank < 2; rank++) {
    CHECK(has(reasons[rank], "all-reduce (max) of 10 float32"));
    CHECK(has(reasons[rank], "NCCL 2.21.5: unhandled system error (a failure that the test asked for)"));
    CHECK(has(reasons[rank], "group 'test', rank "));
  }
}

TEST("two ranks on one GPU are refused with NCCL's own text") {
  if (usesRealGpus()) return;
  openDouble();
  std::vector<std::string> reasons(2);
  onRanks(2, oneNode, [&](Communicator& group) {
    try {
      group.onGpu(cuda::Gpu::open(0), anySignature());
    } catch (const CollectiveError& error) {
      reasons[static_cast<size_t>(group.rank())] = error.what();
    }
  });
  for (const auto& reason : reasons) CHECK(has(reason, "Duplicate GPU detected : rank 0 and rank 1 both on CUDA device 0"));
}

TEST("a rank that leaves or aborts ends the operations on the others' GPUs with its reason, and the group stays unusable") {
  openDouble();
  for (const auto& nodes : {oneNode, nodeEach}) {
    const auto reasons = failures(2, nodes, [](Communicator& group, nccl::GpuGroup& gpus, const std::shared_ptr<cuda::Gpu>& gpu) {
      GpuElements e(gpu, DataType::Float32, 10, group.rank());
      if (group.rank() == 0) {
        group.agree({OperationKind::AllReduce, DataType::Float32, Reduction::Sum, 1, -1, 40, 0});  // but does not start it
        group.abort("had enough");
      } else {
        try {
          gpus.allReduce(e.data(), e.data(), 10, DataType::Float32, Reduction::Sum);
          gpus.wait();
          CHECK(false);
        } catch (const CollectiveError& error) {
          CHECK(has(error.what(), "rank 0 has left: had enough"));
        }
      }
      gpus.allReduce(e.data(), e.data(), 10, DataType::Float32, Reduction::Sum);
    });
    for (const auto& reason : reasons) CHECK(has(reason, "had enough"));
  }
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

namespace {

struct Meeting {
  struct Entry {
    pid_t pid;
    int fd, port;
    char name[64];
    size_t bytes;
  } entries[3];
  std::atomic<int> published{0}, started{0};
  char reasons[3][512];
};

/// A process that reduces on its GPU until that fails.
void reduceUntilFailure(Meeting& meeting, int rank, const Nodes& nodes) {
  openDouble();
  Communicator::Options options;
  options.name = "test";
  options.node = nodes(rank);
  options.host = "127.0.0.1";
  options.token = "secret";
  Communicator group(rank, 3, options);
  const RankAddress own = group.address();
  auto& entry = meeting.entries[rank];
  entry.pid = getpid();
  entry.fd = own.inbox.fd;
  entry.port = own.port;
  entry.bytes = own.inbox.bytes;
  std::strncpy(entry.name, own.inbox.name.c_str(), sizeof entry.name - 1);
  meeting.published++;
  while (meeting.published < 3) usleep(100);
  std::vector<RankAddress> addresses;
  for (int r = 0; r < 3; r++) {
    const auto& e = meeting.entries[r];
    addresses.push_back({r, nodes(r), {e.pid, e.fd, e.name, e.bytes}, "127.0.0.1", e.port, false});
  }
  try {
    group.connect(addresses);
    const auto gpu = cuda::Gpu::open(rank);
    auto& gpus = group.onGpu(gpu, anySignature());
    GpuElements e(gpu, DataType::Float32, 50'000, rank);
    for (bool first = true;; first = false) {
      gpus.allReduce(e.data(), e.data(), 50'000, DataType::Float32, Reduction::Average);
      gpus.wait();
      if (first) meeting.started++;
    }
  } catch (const std::exception& error) {
    std::strncpy(meeting.reasons[rank], error.what(), sizeof meeting.reasons[rank] - 1);
  }
}

constexpr const char* kRankVariable = "TROUPE_TEST_GPU_RANK";

Meeting& meetingIn(int file) {
  void* memory = mmap(nullptr, sizeof(Meeting), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  CHECK(memory != MAP_FAILED);
  return *static_cast<Meeting*>(memory);
}

/// A process that has used CUDA cannot be forked, so that ranks are this program started anew: it then never gets to main().
const bool isNoRank = [] {
  const char* text = std::getenv(kRankVariable);
  if (text == nullptr) return true;
  int rank = 0, file = -1, apart = 0;
  std::sscanf(text, "%d %d %d", &rank, &file, &apart);
  alarm(20);
  reduceUntilFailure(meetingIn(file), rank, apart != 0 ? nodeEach : oneNode);
  _exit(0);
}();

pid_t startRank(int rank, int file, bool apart, bool silent) {
  const pid_t child = fork();
  if (child != 0) return child;
  setenv(kRankVariable, (std::to_string(rank) + " " + std::to_string(file) + " " + (apart ? "1" : "0")).c_str(), 1);
  if (silent) setenv("TROUPE_DOUBLE_SILENT", "1", 1);
  execl("/proc/self/exe", "rank", nullptr);
  _exit(1);
}

}  // namespace

TEST("a rank killed during an operation on GPUs ends it on the others with an error that names it, also if NCCL says nothing") {
  if (usesRealGpus()) return;
  for (const bool silent : {false, true}) {
    for (const bool apart : {false, true}) {
      const int file = memfd_create("meeting", 0);
      CHECK(file >= 0 && ftruncate(file, sizeof(Meeting)) == 0);
      auto& meeting = meetingIn(file);
      pid_t children[3];
      for (int rank = 0; rank < 3; rank++) children[rank] = startRank(rank, file, apart, silent);
      for (int i = 0; i < 50'000 && meeting.started < 3; i++) usleep(200);
      usleep(3'000);
      kill(children[1], SIGKILL);
      const auto killed = std::chrono::steady_clock::now();
      for (int rank = 0; rank < 3; rank++) {
        int status = 0;
        waitpid(children[rank], &status, 0);
        if (rank == 1) continue;
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        if (!has(meeting.reasons[rank], "rank 1")) std::fprintf(stderr, "rank %d: %s\n", rank, meeting.reasons[rank]);
        CHECK(has(meeting.reasons[rank], "rank 1"));
      }
      CHECK(std::chrono::steady_clock::now() - killed < std::chrono::seconds(2));
      munmap(&meeting, sizeof meeting);
      close(file);
    }
  }
}
