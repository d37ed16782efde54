#include "collective/dispatch.h"

#include <numeric>

#include "collective/collectives.h"
#include "collective/nccl/gpu_group.h"

namespace troupe::collective {
namespace {

/// The elements of its input, and of each rank's part.
size_t countOf(const Request& r) { return r.input.bytes / bytesOf(r.type); }
std::vector<size_t> countsOf(const Request& r) {
  std::vector<size_t> counts = r.sizes;
  for (auto& count : counts) count /= bytesOf(r.type);
  return counts;
}

/// The GPU that a request's memory is on, or null. Throws std::invalid_argument if it is in different places.
std::shared_ptr<cuda::Gpu> gpuOf(const Request& r) {
  const bool both = r.input.data != nullptr && r.output.data != nullptr;
  if (both && r.input.gpu() != r.output.gpu()) {
    const auto place = [](const Region& region) {
      return region.gpu() ? "cuda:" + std::to_string(region.gpu()->index()) : std::string("host memory");
    };
    throw std::invalid_argument(r.name + ": the input is on " + place(r.input) + ", the output on " + place(r.output) +
                                "; they must be in one place");
  }
  return r.input.gpu() ? r.input.gpu() : r.output.gpu();
}

/// Whether a request names ranks of the group and its memory is as large as its sizes say. Throws std::invalid_argument.
void check(const Communicator& group, const Request& r) {
  const auto ranks = static_cast<size_t>(group.size()), rank = static_cast<size_t>(group.rank());
  const auto expect = [&](bool holds, const char* what) {
    if (!holds) throw std::invalid_argument("group '" + group.name() + "', " + r.name + ": expected " + what);
  };
  const auto sum = [](const std::vector<size_t>& sizes) { return std::accumulate(sizes.begin(), sizes.end(), size_t{0}); };
  const auto each = [&](const std::vector<size_t>& sizes) { expect(sizes.size() == ranks, "a size for every rank"); };
  expect(static_cast<size_t>(r.root) < ranks, "a root that is a rank of the group");
  const bool isRoot = static_cast<size_t>(r.root) == rank;
  const size_t width = bytesOf(r.type);
  expect(r.input.bytes % width == 0 && r.output.bytes % width == 0, "whole elements of its type");
  for (const size_t size : r.sizes) expect(size % width == 0, "sizes of whole elements");
  if (r.kind == OperationKind::AllReduce) expect(r.input.bytes == r.output.bytes, "an output of the input's size");
  if (r.kind == OperationKind::Reduce) expect(!isRoot || r.input.bytes == r.output.bytes, "an output of the input's size at the root");
  if (r.kind == OperationKind::Broadcast) expect(!isRoot || r.input.bytes == r.output.bytes, "an input of the output's size at the root");
  if (r.kind == OperationKind::AllGather || r.kind == OperationKind::Gather) {
    each(r.sizes);
    expect(r.input.bytes == r.sizes[rank], "an input of this rank's size");
    if (r.kind == OperationKind::AllGather || isRoot) expect(r.output.bytes == sum(r.sizes), "an output of all ranks' sizes together");
  }
  if (r.kind == OperationKind::Scatter || r.kind == OperationKind::ReduceScatter) {
    each(r.sizes);
    expect(r.output.bytes == r.sizes[rank], "an output of this rank's size");
    if (r.kind == OperationKind::ReduceScatter || isRoot) expect(r.input.bytes == sum(r.sizes), "an input of all ranks' sizes together");
  }
  if (r.kind == OperationKind::AllToAll) {
    each(r.sizes);
    each(r.receiveSizes);
    expect(r.input.bytes == sum(r.sizes) && r.output.bytes == sum(r.receiveSizes), "an input and an output of the sizes together");
    expect(r.sizes[rank] == r.receiveSizes[rank], "as many bytes to itself as from itself");
  }
  if (r.kind == OperationKind::PointToPoint)
    expect(static_cast<size_t>(r.peer) < ranks && static_cast<size_t>(r.peer) != rank, "another rank of the group");
}

/// The signature that the ranks compare before they meet over NCCL for a request.
Signature signatureOf(const Request& r) {
  const OperationKind kind = r.kind == OperationKind::Barrier ? OperationKind::PointToPoint : r.kind;
  const bool rooted =
      kind == OperationKind::Reduce || kind == OperationKind::Gather || kind == OperationKind::Scatter || kind == OperationKind::Broadcast;
  size_t bytes = kind == OperationKind::Broadcast ? r.output.bytes : r.input.bytes;
  if (!r.sizes.empty()) bytes = kind == OperationKind::AllToAll ? 0 : std::accumulate(r.sizes.begin(), r.sizes.end(), size_t{0});
  return {kind, r.type, r.reduction, 1, rooted ? r.root : -1, bytes, 0};
}

void runOnHost(Communicator& group, const Request& r) {
  const uint8_t* in = r.input.data;
  uint8_t* out = r.output.data;
  switch (r.kind) {
    case OperationKind::AllReduce: return allReduce(group, in, out, countOf(r), r.type, r.reduction);
    case OperationKind::Reduce: return reduce(group, in, out, countOf(r), r.type, r.reduction, r.root);
    case OperationKind::ReduceScatter: return reduceScatter(group, in, out, countsOf(r).data(), r.type, r.reduction);
    case OperationKind::AllGather: return allGather(group, in, r.sizes.data(), out, r.type);
    case OperationKind::Broadcast: return broadcast(group, in, out, r.output.bytes, r.root, r.type);
    case OperationKind::AllToAll: return allToAll(group, in, r.sizes.data(), out, r.receiveSizes.data(), r.type);
    case OperationKind::Gather: return gather(group, in, r.sizes.data(), out, r.root, r.type);
    case OperationKind::Scatter: return scatter(group, in, r.sizes.data(), out, r.root, r.type);
    case OperationKind::Barrier: return barrier(group);
    case OperationKind::PointToPoint: break;  // of which several are exchanged together
  }
}

void runOnGpu(nccl::GpuGroup& group, const Request& r) {
  const uint8_t* in = r.input.data;
  uint8_t* out = r.output.data;
  switch (r.kind) {
    case OperationKind::AllReduce: return group.allReduce(in, out, countOf(r), r.type, r.reduction);
    case OperationKind::Reduce: return group.reduce(in, out, countOf(r), r.type, r.reduction, r.root);
    case OperationKind::ReduceScatter: return group.reduceScatter(in, out, countsOf(r).data(), r.type, r.reduction);
    case OperationKind::AllGather: return group.allGather(in, r.sizes.data(), out, r.type);
    case OperationKind::Broadcast: return group.broadcast(in, out, r.output.bytes, r.root, r.type);
    case OperationKind::AllToAll: return group.allToAll(in, r.sizes.data(), out, r.receiveSizes.data(), r.type);
    case OperationKind::Gather: return group.gather(in, r.sizes.data(), out, r.root, r.type);
    case OperationKind::Scatter: return group.scatter(in, r.sizes.data(), out, r.root, r.type);
    case OperationKind::Barrier: throw std::invalid_argument("there is no collective on GPUs called " + r.name);
    case OperationKind::PointToPoint: break;
  }
}

}  // namespace

void run(Communicator& group, const std::vector<Request>& requests) {
  group.expectConnected();
  for (const Request& r : requests) {
    check(group, r);
    r.input.expectUnchanged();
  }
  std::vector<Message> messages;
  std::shared_ptr<cuda::Gpu> gpu;  // that the messages and what is under way are on
  nccl::GpuGroup* onGpu = nullptr;
  const auto exchangeMessages = [&] {
    if (messages.empty()) return;
    onGpu != nullptr ? onGpu->exchange(messages) : exchange(group, messages);
    messages.clear();
  };
  // What follows each other on a GPU is given to it at once, and waited for together.
  const auto finish = [&] {
    exchangeMessages();
    if (onGpu != nullptr) onGpu->wait();
    onGpu = nullptr;
  };
  for (const Request& r : requests) {
    const auto place = gpuOf(r);
    if (place != gpu) finish();
    gpu = place;
    if (gpu && onGpu == nullptr) onGpu = &group.onGpu(gpu, signatureOf(r));
    if (r.kind == OperationKind::PointToPoint) {
      const Region& region = r.isSent ? r.input : r.output;
      messages.push_back({r.peer, r.isSent, region.data, region.bytes, r.type});
    } else {
      exchangeMessages();
      gpu ? runOnGpu(*onGpu, r) : runOnHost(group, r);
    }
  }
  finish();
  try {
    for (const Request& r : requests) r.input.expectUnchanged();
  } catch (const std::exception& error) {
    group.abort(error.what());  // other ranks have what was read
    throw;
  }
}

}  // namespace troupe::collective
