// Whatever goes wrong on one rank's GPU ends the operation on all, with an error that says what it was.
#include <csignal>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gpu_ranks.h"

using namespace troupe;
using namespace troupe::collective;

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
