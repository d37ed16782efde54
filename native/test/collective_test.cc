#include <atomic>
#include <cmath>
#include <cstring>
#include <random>
#include <sys/resource.h>
#include <sys/wait.h>
#include <thread>
#include <tuple>
#include <unistd.h>

#include "check.h"
#include "collective/collectives.h"
#include "ranks.h"

using namespace troupe;
using namespace troupe::collective;

namespace {

std::vector<float> valuesOf(int rank, size_t count) {
  std::mt19937 random(static_cast<unsigned>(rank) * 7919 + static_cast<unsigned>(count));
  std::uniform_real_distribution<float> uniform(-1, 1);
  std::vector<float> values(count);
  for (auto& value : values) value = uniform(random);
  return values;
}

void checkAllReduce(int size, size_t count, const Nodes& nodes) {
  std::vector<double> expected(count);
  for (int rank = 0; rank < size; rank++) {
    const auto values = valuesOf(rank, count);
    for (size_t i = 0; i < count; i++) expected[i] += values[i];
  }
  std::vector<std::vector<float>> results(static_cast<size_t>(size));
  onRanks(size, nodes, [&](Communicator& group) {
    auto values = valuesOf(group.rank(), count);
    allReduceSum(group, values.data(), count);
    results[static_cast<size_t>(group.rank())] = values;
  });
  for (const auto& result : results) {
    for (size_t i = 0; i < count; i++) CHECK(std::abs(result[i] - expected[i]) < 1e-5);
    CHECK(count == 0 || std::memcmp(result.data(), results[0].data(), count * sizeof(float)) == 0);
  }
}

}  // namespace

TEST("an all-reduce gives every rank the same bits of the sum, in shared memory, over TCP and over both") {
  for (int size = 1; size <= 8; size++) {
    for (size_t count : {size_t{0}, size_t{1}, size_t{7}, size_t{1000}, size_t{9000}, size_t{100'003}}) {
      checkAllReduce(size, count, oneNode);
      checkAllReduce(size, count, nodeEach);
      checkAllReduce(size, count, twoNodes);
    }
  }
}

TEST("an all-gather stacks slices of different sizes, empty ones included") {
  for (const auto& nodes : {oneNode, twoNodes}) {
    const size_t counts[] = {3, 0, 40'000, 1};
    size_t bytes[4], total = 0;
    for (int rank = 0; rank < 4; rank++) {
      bytes[rank] = counts[rank] * sizeof(float);
      total += counts[rank];
    }
    onRanks(4, nodes, [&](Communicator& group) {
      const auto own = valuesOf(group.rank(), counts[group.rank()]);
      std::vector<float> all(total);
      allGather(group, reinterpret_cast<const uint8_t*>(own.data()), bytes, reinterpret_cast<uint8_t*>(all.data()));
      size_t at = 0;
      for (int rank = 0; rank < 4; rank++) {
        for (float value : valuesOf(rank, counts[rank])) CHECK(all[at++] == value);
      }
    });
  }
}

TEST("an all-to-all gives each rank what every other meant for it") {
  onRanks(3, twoNodes, [](Communicator& group) {
    const int rank = group.rank();
    // Rank r sends r + 1 bytes, each 10 r + destination, to every rank.
    std::vector<uint8_t> in, out(6);
    size_t sendBytes[3], receiveBytes[3];
    for (int peer = 0; peer < 3; peer++) {
      in.insert(in.end(), static_cast<size_t>(rank + 1), static_cast<uint8_t>(10 * rank + peer));
      sendBytes[peer] = static_cast<size_t>(rank + 1);
      receiveBytes[peer] = static_cast<size_t>(peer + 1);
    }
    allToAll(group, in.data(), sendBytes, out.data(), receiveBytes);
    const uint8_t r = static_cast<uint8_t>(rank);
    const std::vector<uint8_t> expected{r, uint8_t(10 + r), uint8_t(10 + r), uint8_t(20 + r), uint8_t(20 + r), uint8_t(20 + r)};
    CHECK(out == expected);
  });
}

TEST("messages larger than a ring arrive whole and in order") {
  constexpr size_t kBytes = 3 * Inbox::kRingBytes + 17;
  for (const auto& nodes : {oneNode, nodeEach}) {
    onRanks(2, nodes, [](Communicator& group) {
      std::vector<uint8_t> data(kBytes);
      for (int round = 0; round < 3; round++) {
        if (group.rank() == 0) {
          for (size_t i = 0; i < kBytes; i++) data[i] = static_cast<uint8_t>(i * 7 + static_cast<size_t>(round));
          send(group, 1, data.data(), kBytes);
        } else {
          receive(group, 0, data.data(), kBytes);
          for (size_t i = 0; i < kBytes; i++) CHECK(data[i] == static_cast<uint8_t>(i * 7 + static_cast<size_t>(round)));
        }
      }
    });
  }
}

TEST("ranks that disagree on the operation, its type, its size, its root or its division are told what the other does") {
  using Start = std::function<void(Communicator&, uint8_t*)>;
  const auto reducing = [](size_t count, DataType type, Reduction reduction) -> Start {
    return [=](Communicator& group, uint8_t* data) { allReduce(group, data, data, count, type, reduction); };
  };
  const auto gathering = [](size_t first, size_t second) -> Start {
    return [=](Communicator& group, uint8_t* data) {
      const size_t bytes[] = {first, second};
      allGather(group, data, bytes, data + 4096);
    };
  };
  const auto broadcasting = [](int root) -> Start {
    return [=](Communicator& group, uint8_t* data) { broadcast(group, data, data, 100, root); };
  };
  const Start sum = reducing(10, DataType::Float32, Reduction::Sum), any = [](Communicator&group, uint8_t*) { barrier(group); };
  const std::tuple<Start, Start, std::string> cases[] = {
      {sum, reducing(11, DataType::Float32, Reduction::Sum), "found all-reduce (sum) of 11 float32"},
      {sum, reducing(10, DataType::Int32, Reduction::Sum), "found all-reduce (sum) of 10 int32"},
      {sum, reducing(10, DataType::Float32, Reduction::Maximum), "found all-reduce (max) of 10 float32"},
      {sum, gathering(20, 20), "found all-gather of 40 uint8"},
      {sum, any, "found barrier"},
      {gathering(20, 20), gathering(10, 30), "divided otherwise"},
      {broadcasting(0), broadcasting(1), "with root 1"},
  };
  for (const auto& nodes : {oneNode, nodeEach}) {
    for (const auto& [first, second, expected] : cases) {
      std::string reasons[2];
      onRanks(2, nodes, [&, &first = first, &second = second](Communicator& group) {
        std::vector<uint8_t> data(8192);
        try {
          (group.rank() == 0 ? first : second)(group, data.data());
          barrier(group);  // a rank that only sends finds out later
        } catch (const CollectiveError& error) {
          reasons[group.rank()] = error.what();
        }
      });
      CHECK(!reasons[0].empty() && !reasons[1].empty());
      CHECK((reasons[0] + reasons[1]).find("expected") != std::string::npos);
      if (nodes(0) == nodes(1)) CHECK((reasons[0] + reasons[1]).find(expected) != std::string::npos);
    }
  }
}

TEST("a rank in a collective and one that waits for its message are told what the other does") {
  const std::function<void(Communicator&)> collectives[] = {
      [](Communicator& group) { barrier(group); },
      [](Communicator& group) {
        uint8_t byte = 0;
        broadcast(group, &byte, &byte, 1, 1);  // the other rank would have to send first
      },
  };
  for (const auto& nodes : {oneNode, nodeEach}) {
    for (const auto& collective : collectives) {
      std::string reasons[2];
      const auto began = std::chrono::steady_clock::now();
      onRanks(2, nodes, [&](Communicator& group) {
        uint8_t bytes[16];
        try {
          group.rank() == 0 ? collective(group) : receive(group, 0, bytes, sizeof bytes);
        } catch (const CollectiveError& error) {
          reasons[group.rank()] = error.what();
        }
      });
      CHECK((reasons[0] + reasons[1]).find("message of 16 uint8") != std::string::npos);
      CHECK((reasons[0] + reasons[1]).find("same operations in the same order") != std::string::npos);
      CHECK(!reasons[0].empty() && !reasons[1].empty());
      CHECK(std::chrono::steady_clock::now() - began < std::chrono::seconds(10));  // the timeout is twice as long
    }
  }
}

TEST("a rank that waits does not wake up until there is something to do") {
  for (const auto& nodes : {oneNode, nodeEach, twoNodes}) {
    long wakeUps[4] = {};
    std::atomic<int> waited{0};
    onRanks(4, nodes, [&](Communicator& group) {
      barrier(group);
      if (group.rank() == 3) {
        std::this_thread::sleep_for(std::chrono::milliseconds(600));
        return barrier(group);
      }
      rusage before{}, after{};
      getrusage(RUSAGE_THREAD, &before);
      barrier(group);
      getrusage(RUSAGE_THREAD, &after);
      wakeUps[group.rank()] = after.ru_nvcsw - before.ru_nvcsw;
      waited++;
    });
    CHECK(waited == 3);
    for (long count : wakeUps) CHECK(count < 12);  // a look every 50 ms would be as many
  }
}

TEST("a rank that leaves ends the others' operations with its reason") {
  for (const auto& nodes : {oneNode, nodeEach}) {
    onRanks(2, nodes, [&](Communicator& group) {
      if (group.rank() == 0) {
        group.abort("had enough");
        return;
      }
      float value = 1;
      std::string reason;
      try {
        allReduceSum(group, &value, 1);
      } catch (const CollectiveError& error) {
        reason = error.what();
      }
      CHECK(reason.find("rank 0") != std::string::npos);
    });
  }
}

TEST("a group that has failed stays unusable and says why") {
  for (const auto& nodes : {oneNode, nodeEach}) {
    onRanks(2, nodes, [](Communicator& group) {
      if (group.rank() == 0) group.abort("had enough");
      for (int attempt = 0; attempt < 2; attempt++) {
        std::string reason;
        try {
          barrier(group);
        } catch (const CollectiveError& error) {
          reason = error.what();
        }
        CHECK(reason.find("had enough") != std::string::npos);
      }
    });
  }
}

TEST("the death of a rank's process ends an operation that waits for it") {
  Communicator::Options options;
  options.name = "test";
  options.node = "a";
  options.timeout = std::chrono::seconds(20);
  // The child sends its address, then waits to be killed in the middle of the operation.
  int toParent[2];
  CHECK(pipe(toParent) == 0);
  const pid_t child = fork();
  if (child == 0) {
    Communicator group(1, 2, options);
    const RankAddress address = group.address();
    char line[256] = {};
    std::snprintf(line, sizeof line, "%d %d %s %zu", address.inbox.pid, address.inbox.fd, address.inbox.name.c_str(), address.inbox.bytes);
    CHECK(write(toParent[1], line, sizeof line) == sizeof line);
    pause();
    _exit(0);
  }
  Communicator group(0, 2, options);
  char line[256], name[128];
  CHECK(read(toParent[0], line, sizeof line) == sizeof line);
  RankAddress other{1, "a", {}, "", 0};
  CHECK(std::sscanf(line, "%d %d %127s %zu", &other.inbox.pid, &other.inbox.fd, name, &other.inbox.bytes) == 4);
  other.inbox.name = name;
  group.connect({group.address(), other});
  kill(child, SIGKILL);  // it stays a zombie until waitpid below
  float value = 1;
  std::string reason;
  try {
    allReduceSum(group, &value, 1);
  } catch (const CollectiveError& error) {
    reason = error.what();
  }
  CHECK(reason.find("has died") != std::string::npos);
  waitpid(child, nullptr, 0);
  bool gone = false;
  try {
    SharedMemory::open(other.inbox);
  } catch (const std::runtime_error&) {
    gone = true;
  }
  CHECK(gone);
}
