#pragma once

#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "collective/collectives.h"

/// Says which node each rank claims to be on.
using Nodes = std::function<std::string(int)>;

inline const Nodes oneNode = [](int) { return std::string("a"); };
inline const Nodes nodeEach = [](int rank) { return std::to_string(rank); };
inline const Nodes twoNodes = [](int rank) { return std::string(rank % 2 == 0 ? "a" : "b"); };

inline const Nodes unevenBlocks = [](int rank) { return std::string(rank < 3 ? "a" : rank < 4 ? "b" : "c"); };

/// Runs `body` on `size` ranks, a thread each.
inline void onRanks(int size, const Nodes& nodes, const std::function<void(troupe::collective::Communicator&)>& body,
                    bool encrypt = false) {
  using namespace troupe::collective;
  std::vector<std::unique_ptr<Communicator>> groups;
  std::vector<RankAddress> addresses;
  for (int rank = 0; rank < size; rank++) {
    Communicator::Options options;
    options.name = "test";
    options.node = nodes(rank);
    options.host = "127.0.0.1";
    options.token = "secret";
    options.spin = false;
    options.encrypt = encrypt;
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
