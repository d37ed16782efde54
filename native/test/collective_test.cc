#include <cmath>
#include <cstring>
#include <random>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include "check.h"
#include "collective/collectives.h"

using namespace troupe;
using namespace troupe::collective;

namespace {

/// Runs `body` on `size` ranks, a thread each. `nodes` says which node each rank claims to be on.
void onRanks(int size, const std::function<std::string(int)>& nodes, const std::function<void(Communicator&)>& body) {
  std::vector<std::unique_ptr<Communicator>> groups;
  std::vector<RankAddress> addresses;
  for (int rank = 0; rank < size; rank++) {
    Communicator::Options options;
    options.name = "test";
    options.node = nodes(rank);
    options.host = "127.0.0.1";
    options.token = "secret";
    options.spin = false;
    options.timeout = std::chrono::seconds(20);
    groups.push_back(std::make_unique<Communicator>(rank, size, options));
    addresses.push_back(groups.back()->address());
  }
  std::vector<std::thread> threads;
  for (auto& group : groups) {
    threads.emplace_back([&addresses, &body, group = group.get()] {
      group->connect(addresses);
      body(*group);
    });
  }
  for (auto& thread : threads) thread.join();
}

const auto oneNode = [](int) { return std::string("a"); };
const auto nodeEach = [](int rank) { return std::to_string(rank); };
const auto twoNodes = [](int rank) { return std::string(rank % 2 == 0 ? "a" : "b"); };

std::vector<float> valuesOf(int rank, size_t count) {
  std::mt19937 random(static_cast<unsigned>(rank) * 7919 + static_cast<unsigned>(count));
  std::uniform_real_distribution<float> uniform(-1, 1);
  std::vector<float> values(count);
  for (auto& value : values) value = uniform(random);
  return values;
}

void checkAllReduce(int size, size_t count, const std::function<std::string(int)>& nodes) {
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
  for (const auto& nodes : {std::function<std::string(int)>(oneNode), std::function<std::string(int)>(twoNodes)}) {
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
  for (const auto& nodes : {std::function<std::string(int)>(oneNode), std::function<std::string(int)>(nodeEach)}) {
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

TEST("ranks that run different operations find out") {
  for (const auto& nodes : {std::function<std::string(int)>(oneNode), std::function<std::string(int)>(nodeEach)}) {
    onRanks(2, nodes, [](Communicator& group) {
      std::vector<float> values(group.rank() == 0 ? 10 : 11);
      bool failed = false;
      try {
        allReduceSum(group, values.data(), values.size());
      } catch (const CollectiveError&) {
        failed = true;
      }
      CHECK(failed);
    });
  }
}

TEST("a rank that leaves ends the others' operations with its reason") {
  for (const auto& nodes : {std::function<std::string(int)>(oneNode), std::function<std::string(int)>(nodeEach)}) {
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
