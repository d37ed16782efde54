#include <csignal>
#include <cstring>
#include <random>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "ranks.h"

using namespace troupe;
using namespace troupe::collective;

namespace {

constexpr int kRanks = 3;

/// What the processes of a group share beside the group: their addresses, and how many operations each has done.
struct Board {
  struct Entry {
    int fd, port;
    char name[64];
    size_t bytes;
  } entries[kRanks];
  pid_t pids[kRanks];
  std::atomic<int> published{0};
  std::atomic<int> started{0};
  std::atomic<int> done[kRanks];
  char reasons[kRanks][1024];
};

/// A process that runs operations until one fails, and checks all results. Exits with 0 after a CollectiveError.
int runRank(Board& board, int rank, const Nodes& nodes) {
  Communicator::Options options;
  options.name = "test";
  options.node = nodes(rank);
  options.host = "127.0.0.1";
  options.token = "secret";
  Communicator group(rank, kRanks, options);
  const RankAddress own = group.address();
  auto& entry = board.entries[rank];
  entry.fd = own.inbox.fd;
  entry.port = own.port;
  entry.bytes = own.inbox.bytes;
  std::strncpy(entry.name, own.inbox.name.c_str(), sizeof entry.name - 1);
  board.pids[rank] = getpid();
  board.published++;
  while (board.published < kRanks) usleep(100);
  std::vector<RankAddress> addresses;
  for (int r = 0; r < kRanks; r++) {
    const auto& e = board.entries[r];
    addresses.push_back({r, nodes(r), {board.pids[r], e.fd, e.name, e.bytes}, "127.0.0.1", e.port});
  }
  const auto memory = SharedMemory::create(1 << 20, false);
  try {
    group.connect(addresses);
    board.started++;
    for (int round = 0;; round++) {
      // Small and staged, large and in place where that is possible, and a large one in private memory.
      const size_t counts[] = {100, 200'000, 70'000};
      const size_t count = counts[round % 3];
      std::vector<float> own(count);
      auto* values = round % 3 == 1 ? reinterpret_cast<float*>(memory->data()) : own.data();
      for (size_t i = 0; i < count; i++) values[i] = static_cast<float>(rank + round % 10);
      allReduceSum(group, values, count);
      for (size_t i = 0; i < count; i++) {
        if (values[i] != static_cast<float>(kRanks * (round % 10) + 3)) return 1;
      }
      board.done[rank]++;
    }
  } catch (const CollectiveError& error) {
    std::strncpy(board.reasons[rank], error.what(), sizeof board.reasons[rank] - 1);
    return 0;
  }
}

void killOne(std::mt19937& random, const Nodes& nodes) {
  void* memory = mmap(nullptr, sizeof(Board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  CHECK(memory != MAP_FAILED);
  auto& board = *new (memory) Board;
  pid_t children[kRanks];
  for (int rank = 0; rank < kRanks; rank++) {
    children[rank] = fork();
    if (children[rank] == 0) {
      alarm(25);  // a rank that hangs ends by this signal, and fails the test
      _exit(runRank(board, rank, nodes));
    }
  }
  const int victim = static_cast<int>(random() % kRanks), after = static_cast<int>(random() % 30);
  while (board.started < kRanks || board.done[victim] < after) usleep(50);
  for (unsigned spin = random() % 20'000; spin > 0; spin--) asm volatile("");
  kill(children[victim], SIGKILL);
  for (int rank = 0; rank < kRanks; rank++) {
    int status = 0;
    waitpid(children[rank], &status, 0);
    if (rank == victim) continue;
    const std::string named = "rank " + std::to_string(victim);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0 || std::strstr(board.reasons[rank], named.c_str()) == nullptr) {
      std::fprintf(stderr, "rank %d after the death of rank %d: status %d, %s\n", rank, victim, status, board.reasons[rank]);
      CHECK(false);
    }
  }
  munmap(memory, sizeof(Board));
}

}  // namespace

TEST("a rank killed at any moment ends the others with an error that names it, and no wrong result") {
  const char* seed = std::getenv("TROUPE_TEST_SEED");
  std::mt19937 random(seed != nullptr ? static_cast<unsigned>(std::atoi(seed)) : 5);
  const int rounds = std::getenv("TROUPE_TEST_THOROUGH") != nullptr ? 300 : kHasSanitizer ? 3 : 8;
  for (int round = 0; round < rounds; round++) {
    for (const auto& nodes : {oneNode, nodeEach, twoNodes}) killOne(random, nodes);
  }
}
