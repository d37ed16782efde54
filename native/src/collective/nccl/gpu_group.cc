#include "collective/nccl/gpu_group.h"

#include <algorithm>
#include <thread>

#include "collective/broadcast.h"
#include "collective/shares.h"
#include "memory/quietly.h"

namespace troupe::collective::nccl {
namespace {

// For which the operations under way may go on after a rank has gone: it may have been done with them.
constexpr auto kGrace = std::chrono::milliseconds(500);
constexpr auto kLook = std::chrono::milliseconds(10);
constexpr auto kGoneWithin = std::chrono::milliseconds(100);  // of an error that may have come of it

Signature signatureOf(OperationKind kind, DataType type, size_t bytes, Reduction reduction = Reduction::Sum, int root = -1,
                      uint64_t layout = 0) {
  return {kind, type, reduction, 1, root, bytes, layout};
}

bool even(const size_t* sizes, int count) {
  return std::all_of(sizes, sizes + count, [sizes](size_t size) { return size == sizes[0]; });
}

cuda::DevicePointer pointer(const uint8_t* memory) { return reinterpret_cast<cuda::DevicePointer>(memory); }

}  // namespace

std::unique_ptr<GpuGroup> GpuGroup::meet(Communicator& all, const std::shared_ptr<cuda::Gpu>& gpu, const std::string& reason) {
  std::unique_ptr<GpuGroup> group;
  try {
    group.reset(new GpuGroup(all, gpu));
  } catch (const std::exception& error) {
    all.fail(reason + ": " + error.what());
  }
  group->guard(reason, [&] {
    UniqueId id{};
    if (all.rank() == 0) group->call(group->nccl_.ncclGetUniqueId(&id), "ncclGetUniqueId");
    auto* bytes = reinterpret_cast<uint8_t*>(&id);
    collective::broadcast(all, bytes, bytes, sizeof id, 0);
    group->gpu()->use();
    Config config;
    group->call(group->nccl_.ncclCommInitRankConfig(&group->comm_, all.size(), id, all.rank(), &config), "ncclCommInitRankConfig");
    group->settle();
  });
  return group;
}

GpuGroup::~GpuGroup() {
  quietly([&] { end(); });
}

void GpuGroup::end() {
  if (comm_ == nullptr) return;
  nccl_.ncclCommAbort(comm_);
  comm_ = nullptr;
}

void GpuGroup::guard(const std::string& what, const std::function<void()>& step) {
  what_ = what;
  try {
    step();
  } catch (const CollectiveError&) {
    end();
    throw;
  } catch (const std::exception& error) {
    const std::string text = what_ + ": " + error.what() + whoHasGone();
    end();
    all_.fail(text);
  }
}

// NCCL may notice the death of a rank first, and does not say whose it was.
std::string GpuGroup::whoHasGone() const {
  for (const auto end = std::chrono::steady_clock::now() + kGoneWithin; std::chrono::steady_clock::now() < end;) {
    for (int rank = 0; rank < all_.size(); rank++) {
      if (rank != all_.rank() && all_.gone(rank)) return "; " + all_.goneText(rank);
    }
    std::this_thread::sleep_for(kLook);
  }
  return "";
}

// Nothing blocks: NCCL says "in progress" instead, and settle() waits for what it is doing.
void GpuGroup::call(int result, const char* name) {
  if (result != kSuccess && result != kInProgress) throw std::runtime_error(std::string(name) + ": " + nccl_.textOf(result, comm_));
}

void GpuGroup::checkState() {
  int state = kSuccess;
  call(nccl_.ncclCommGetAsyncError(comm_, &state), "ncclCommGetAsyncError");
  if (state != kSuccess && state != kInProgress) throw std::runtime_error(nccl_.textOf(state, comm_));
}

void GpuGroup::settle() {
  await([this] {
    int state = kSuccess;
    call(nccl_.ncclCommGetAsyncError(comm_, &state), "ncclCommGetAsyncError");
    if (state != kSuccess && state != kInProgress) throw std::runtime_error(nccl_.textOf(state, comm_));
    return state == kSuccess;
  });
}

void GpuGroup::await(const std::function<bool()>& ready) {
  using Clock = std::chrono::steady_clock;
  const auto began = Clock::now();
  auto nextLook = began, firstGone = Clock::time_point::max();
  while (!ready()) {
    all_.checkAborted();
    const auto now = Clock::now();
    if (now >= nextLook) {
      nextLook = now + kLook;
      checkState();
      for (int rank = 0; rank < all_.size(); rank++) {
        if (rank == all_.rank() || !all_.gone(rank)) continue;
        firstGone = std::min(firstGone, now);
        if (now - firstGone > kGrace) all_.failGone(rank);
      }
    }
    if (now - began > all_.timeout()) throw std::runtime_error("not done within " + std::to_string(all_.timeout().count()) + " ms");
    all_.nap(cuda::napAfter(now - began));
  }
}

void GpuGroup::launch(const Signature& signature, const std::function<void()>& launch) {
  guard(describe(signature), [&] { all_.agree(signature); });
  launchAgreed(describe(signature), launch);
}

void GpuGroup::launchAgreed(const std::string& what, const std::function<void()>& launch) {
  guard(what, [&] {
    gpu()->use();
    call(nccl_.ncclGroupStart(), "ncclGroupStart");
    try {
      launch();
    } catch (...) {
      nccl_.ncclGroupEnd();
      throw;
    }
    call(nccl_.ncclGroupEnd(), "ncclGroupEnd");
    settle();
    launched_.record(stream_);
  });
}

void GpuGroup::wait() {
  guard(what_, [this] { await([this] { return launched_.done(); }); });
}

void GpuGroup::allReduce(const uint8_t* in, uint8_t* out, size_t count, DataType type, Reduction reduction) {
  launch(signatureOf(OperationKind::AllReduce, type, count * bytesOf(type), reduction), [&] {
    call(nccl_.ncclAllReduce(in, out, count, typeOf(type), operationOf(reduction), comm_, stream_.handle()), "ncclAllReduce");
  });
}

void GpuGroup::reduce(const uint8_t* in, uint8_t* out, size_t count, DataType type, Reduction reduction, int root) {
  launch(signatureOf(OperationKind::Reduce, type, count * bytesOf(type), reduction, root), [&] {
    call(nccl_.ncclReduce(in, out, count, typeOf(type), operationOf(reduction), root, comm_, stream_.handle()), "ncclReduce");
  });
}

void GpuGroup::reduceScatter(const uint8_t* in, uint8_t* out, const size_t* counts, DataType type, Reduction reduction) {
  const size_t width = bytesOf(type);
  std::vector<size_t> bytes(counts, counts + all_.size());
  for (auto& slice : bytes) slice *= width;
  const auto offsets = offsetsOf(bytes.data(), all_.size());
  launch(signatureOf(OperationKind::ReduceScatter, type, offsets.back(), reduction, -1, layoutOf(bytes.data(), all_.size())), [&] {
    if (even(counts, all_.size())) {
      return call(nccl_.ncclReduceScatter(in, out, counts[0], typeOf(type), operationOf(reduction), comm_, stream_.handle()),
                  "ncclReduceScatter");
    }
    for (int root = 0; root < all_.size(); root++) {
      const auto r = static_cast<size_t>(root);
      call(nccl_.ncclReduce(in + offsets[r], out, counts[r], typeOf(type), operationOf(reduction), root, comm_, stream_.handle()),
           "ncclReduce");
    }
  });
}

void GpuGroup::broadcast(const uint8_t* in, uint8_t* out, size_t bytes, int root, DataType type) {
  launch(signatureOf(OperationKind::Broadcast, type, bytes, Reduction::Sum, root),
         [&] { call(nccl_.ncclBroadcast(in, out, bytes / bytesOf(type), typeOf(type), root, comm_, stream_.handle()), "ncclBroadcast"); });
}

void GpuGroup::allGather(const uint8_t* in, const size_t* bytes, uint8_t* out, DataType type) {
  const size_t width = bytesOf(type);
  const auto offsets = offsetsOf(bytes, all_.size());
  launch(signatureOf(OperationKind::AllGather, type, offsets.back(), Reduction::Sum, -1, layoutOf(bytes, all_.size())), [&] {
    if (even(bytes, all_.size())) {
      return call(nccl_.ncclAllGather(in, out, bytes[0] / width, typeOf(type), comm_, stream_.handle()), "ncclAllGather");
    }
    for (int root = 0; root < all_.size(); root++) {
      const auto r = static_cast<size_t>(root);
      call(nccl_.ncclBroadcast(in, out + offsets[r], bytes[r] / width, typeOf(type), root, comm_, stream_.handle()), "ncclBroadcast");
    }
  });
}

void GpuGroup::gather(const uint8_t* in, const size_t* bytes, uint8_t* out, int root, DataType type) {
  const size_t width = bytesOf(type), own = static_cast<size_t>(all_.rank());
  const auto offsets = offsetsOf(bytes, all_.size());
  launch(signatureOf(OperationKind::Gather, type, offsets.back(), Reduction::Sum, root, layoutOf(bytes, all_.size())), [&] {
    if (all_.rank() != root) return call(nccl_.ncclSend(in, bytes[own] / width, typeOf(type), root, comm_, stream_.handle()), "ncclSend");
    stream_.copyOnDevice(pointer(out + offsets[own]), pointer(in), bytes[own]);
    for (int peer = 0; peer < all_.size(); peer++) {
      const auto p = static_cast<size_t>(peer);
      if (peer != root) call(nccl_.ncclRecv(out + offsets[p], bytes[p] / width, typeOf(type), peer, comm_, stream_.handle()), "ncclRecv");
    }
  });
}

void GpuGroup::scatter(const uint8_t* in, const size_t* bytes, uint8_t* out, int root, DataType type) {
  const size_t width = bytesOf(type), own = static_cast<size_t>(all_.rank());
  const auto offsets = offsetsOf(bytes, all_.size());
  launch(signatureOf(OperationKind::Scatter, type, offsets.back(), Reduction::Sum, root, layoutOf(bytes, all_.size())), [&] {
    if (all_.rank() != root) return call(nccl_.ncclRecv(out, bytes[own] / width, typeOf(type), root, comm_, stream_.handle()), "ncclRecv");
    stream_.copyOnDevice(pointer(out), pointer(in + offsets[own]), bytes[own]);
    for (int peer = 0; peer < all_.size(); peer++) {
      const auto p = static_cast<size_t>(peer);
      if (peer != root) call(nccl_.ncclSend(in + offsets[p], bytes[p] / width, typeOf(type), peer, comm_, stream_.handle()), "ncclSend");
    }
  });
}

void GpuGroup::allToAll(const uint8_t* in, const size_t* sendBytes, uint8_t* out, const size_t* receiveBytes, DataType type) {
  const int size = all_.size();
  const size_t width = bytesOf(type), own = static_cast<size_t>(all_.rank());
  const auto sent = offsetsOf(sendBytes, size), received = offsetsOf(receiveBytes, size);
  const Signature signature = signatureOf(OperationKind::AllToAll, type, 0);
  guard(describe(signature), [&] {
    all_.agree(signature);
    // What each pair of ranks exchanges is known to these two alone.
    std::vector<uint64_t> told(sendBytes, sendBytes + size), found(static_cast<size_t>(size));
    auto& transfers = all_.transfers();
    for (int peer = 0; peer < size; peer++) {
      const auto p = static_cast<size_t>(peer);
      if (p == own) continue;
      transfers.push_back({peer, true, reinterpret_cast<uint8_t*>(&told[p]), sizeof told[p]});
      transfers.push_back({peer, false, reinterpret_cast<uint8_t*>(&found[p]), sizeof found[p]});
    }
    all_.transfer(signature, transfers);
    for (int peer = 0; peer < size; peer++) {
      const auto p = static_cast<size_t>(peer);
      if (p != own && found[p] != receiveBytes[p]) all_.failSize(signature, peer, receiveBytes[p], found[p]);
    }
  });
  launchAgreed(describe(signature), [&] {
    stream_.copyOnDevice(pointer(out + received[own]), pointer(in + sent[own]), sendBytes[own]);
    for (int peer = 0; peer < size; peer++) {
      const auto p = static_cast<size_t>(peer);
      if (p == own) continue;
      call(nccl_.ncclSend(in + sent[p], sendBytes[p] / width, typeOf(type), peer, comm_, stream_.handle()), "ncclSend");
      call(nccl_.ncclRecv(out + received[p], receiveBytes[p] / width, typeOf(type), peer, comm_, stream_.handle()), "ncclRecv");
    }
  });
}

void GpuGroup::exchange(const std::vector<Message>& messages) {
  if (messages.empty()) return;
  const std::string what = messages.size() == 1 ? "message" : std::to_string(messages.size()) + " messages";
  guard(what, [&] {
    // Both ranks of a message tell each other of it, since NCCL waits for both. They take those from the lower rank first.
    auto& transfers = all_.transfers();
    for (const bool upwards : {true, false}) {
      for (const Message& message : messages) {
        if ((message.outgoing == (all_.rank() < message.peer)) != upwards) continue;
        const Signature signature = signatureOf(OperationKind::PointToPoint, message.type, message.bytes);
        for (const bool outgoing : {true, false}) transfers.push_back({message.peer, outgoing, nullptr, 0, signature});
      }
    }
    all_.transfer(transfers);
  });
  launchAgreed(what, [&] {
    for (const Message& m : messages) {
      const size_t count = m.bytes / bytesOf(m.type);
      if (m.outgoing) {
        call(nccl_.ncclSend(m.data, count, typeOf(m.type), m.peer, comm_, stream_.handle()), "ncclSend");
      } else {
        call(nccl_.ncclRecv(m.data, count, typeOf(m.type), m.peer, comm_, stream_.handle()), "ncclRecv");
      }
    }
  });
}

std::unique_ptr<GpuGroup> GpuGroup::split(Communicator& part, int color, int key) {
  std::unique_ptr<GpuGroup> group(new GpuGroup(part, gpu()));
  guard("split", [&] {
    gpu()->use();
    Config config;
    call(nccl_.ncclCommSplit(comm_, color, key, &group->comm_, &config), "ncclCommSplit");
    settle();
  });
  group->guard("split", [&] { group->settle(); });
  return group;
}

void GpuGroup::finalize() {
  if (comm_ == nullptr) return;
  guard("finalize", [this] {
    call(nccl_.ncclCommFinalize(comm_), "ncclCommFinalize");
    settle();
    call(nccl_.ncclCommDestroy(comm_), "ncclCommDestroy");
    comm_ = nullptr;
  });
}

void* GpuGroup::registerMemory(uint8_t* memory, size_t bytes) {
  if (nccl_.ncclCommRegister == nullptr || comm_ == nullptr) return nullptr;
  void* registration = nullptr;
  gpu()->use();
  call(nccl_.ncclCommRegister(comm_, memory, bytes, &registration), "ncclCommRegister");
  return registration;
}

void GpuGroup::deregisterMemory(void* registration) {
  if (registration == nullptr || comm_ == nullptr) return;
  gpu()->use();
  call(nccl_.ncclCommDeregister(comm_, registration), "ncclCommDeregister");
}

}  // namespace troupe::collective::nccl
