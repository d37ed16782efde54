#include "program/compute.h"

#include <algorithm>
#include <mutex>
#include <stdexcept>
#include <thread>

#include "program/array_operations.h"
#include "program/schema.h"

namespace troupe::program {
namespace {

/// One for the process, which is never taken down: what waits in it at its end is nobody's concern.
struct Shared {
  ThreadPool threads{static_cast<int>(std::max(1u, std::thread::hardware_concurrency()))};
  std::mutex mutex;  // its loops are one caller's at a time
};

Shared& shared() {
  static auto* const one = new Shared;
  return *one;
}

}  // namespace

void compute(const Node& node) {
  if (!isArrayOperation(node.name) || node.outputs.empty())
    throw std::invalid_argument(node.name + ": only operations on arrays are done at once");
  checkOperation(node, 0, 0);
  for (const auto& check : indexChecks(node, 0, 0)) check.check({});
  if (node.outputs[0]->rows == 0) return;
  const auto operation = makeOperation(Device::Cpu, node);
  Workspace workspace;
  const std::lock_guard<std::mutex> lock(shared().mutex);
  operation->run({{}, shared().threads, workspace, nullptr});
}

}  // namespace troupe::program
