// A test double of NCCL, for ranks that are threads or processes of one host. It implements what
// native/src/collective/nccl/library.h declares and nothing else; nothing of it is part of what users run.
//
// Who makes the unique id runs a hub (hub.cc), to which every rank connects. An operation is work of a stream that sends
// the hub what the rank gives and waits for what it gets. As with the real library in its non-blocking mode, calls say "in
// progress" and an operation reaches its stream only once the communicator's state has been asked for; a rank that has gone
// leaves the others' operations running until they are aborted.
//
// TROUPE_DOUBLE_NCCL_VERSION: the version it claims (22105). TROUPE_DOUBLE_FAIL_AT: the number, from 1, of a group call that
// reports an error later instead of finishing. TROUPE_DOUBLE_SILENT: do not report ranks that have gone.
#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "cuda_double.h"
#include "hub.h"

using namespace gpu_double;

enum { kSuccess = 0, kSystemError = 2, kInvalidArgument = 4, kInvalidUsage = 5, kRemoteError = 6, kInProgress = 7 };

struct UniqueId {
  char internal[128];
};

struct Config {
  size_t size;
  unsigned magic, version;
  int blocking;
};

/// What a rank holds of a communicator; its streams' work may outlive the handle.
struct Comm {
  int rank = 0, size = 0;
  uint64_t room = 0;
  std::string hub;
  std::unique_ptr<Connection> connection;
  std::atomic<int> state{kInProgress};
  std::atomic<bool> aborted{false};
  std::thread background;
  std::mutex mutex;  // of what follows
  std::string lastError;
  std::function<void()> unlaunched;
  std::map<int, std::deque<std::vector<uint8_t>>> received;  // by sender
  uint64_t operations = 0;
  int groupCalls = 0, splits = 0;

  ~Comm() {
    if (background.joinable()) background.join();
  }
  void fail(int result, const std::string& text) {
    std::lock_guard<std::mutex> lock(mutex);
    lastError = text;
    state = result;
  }
};

struct ncclComm {
  std::shared_ptr<Comm> comm;
  std::string said;
};

namespace {

/// A part of a group call: first all sends happen, then the rest in order.
struct Part {
  std::shared_ptr<Comm> comm;
  void* stream;
  bool isSend;
  std::function<bool(Comm&)> run;  // false: it cannot be finished
};

/// A group call that a thread has begun. Not thread-local, which in a library opened at run time confuses ThreadSanitizer.
struct Group {
  int depth = 0;
  std::vector<Part> parts;
};

Group& group() {
  static auto* const mutex = new std::mutex;
  static auto* const groups = new std::map<std::thread::id, Group>;
  std::lock_guard<std::mutex> lock(*mutex);
  return (*groups)[std::this_thread::get_id()];
}

size_t widthOf(int type) {
  static constexpr size_t widths[] = {1, 1, 4, 4, 8, 8, 2, 4, 8, 2};
  return widths[type];
}

/// The next frame of one of `kinds`; messages of other ranks are kept for who receives them. False after an abort.
bool next(Comm& comm, FrameKind kind, Frame* frame) {
  for (;;) {
    if (!comm.connection || !comm.connection->receive(frame, [&] { return comm.aborted.load(); })) {
      if (!comm.aborted && std::getenv("TROUPE_DOUBLE_SILENT") == nullptr) comm.fail(kRemoteError, "the hub has gone");
      while (!comm.aborted) std::this_thread::sleep_for(std::chrono::milliseconds(1));
      return false;
    }
    if (frame->header.kind == FrameKind::Gone) {
      if (std::getenv("TROUPE_DOUBLE_SILENT") == nullptr)
        comm.fail(kRemoteError, "rank " + std::to_string(frame->header.peer) + " has gone");
      continue;
    }
    if (frame->header.kind == kind) return true;
    if (frame->header.kind == FrameKind::Message) comm.received[frame->header.peer].push_back(std::move(frame->body));
  }
}

bool runParts(Comm& comm, const std::vector<Part>& parts) {
  for (const bool sends : {true, false}) {
    for (const Part& part : parts) {
      if (part.isSend == sends && !part.run(comm)) return false;
    }
  }
  return true;
}

int endGroup() {
  std::vector<Part> parts;
  parts.swap(group().parts);
  std::vector<std::shared_ptr<Comm>> comms;
  for (const Part& part : parts) {
    if (std::find(comms.begin(), comms.end(), part.comm) == comms.end()) comms.push_back(part.comm);
  }
  for (const auto& comm : comms) {
    std::vector<Part> own;
    for (const Part& part : parts) {
      if (part.comm == comm) own.push_back(part);
    }
    const char* failAt = std::getenv("TROUPE_DOUBLE_FAIL_AT");
    std::lock_guard<std::mutex> lock(comm->mutex);
    const bool fails = failAt != nullptr && std::atoi(failAt) == ++comm->groupCalls;
    comm->state = kInProgress;
    comm->unlaunched = [weak = std::weak_ptr<Comm>(comm), own, fails] {
      enqueue(own[0].stream, [held = weak.lock(), own, fails] {
        if (fails) {
          held->fail(kSystemError, "a failure that the test asked for");
          while (!held->aborted) std::this_thread::sleep_for(std::chrono::milliseconds(1));
          return kCudaSuccess;
        }
        return runParts(*held, own) || held->aborted ? kCudaSuccess : kCudaLaunchFailed;
      });
    };
  }
  return comms.empty() ? kSuccess : kInProgress;
}

int add(ncclComm* handle, void* stream, bool isSend, std::function<bool(Comm&)> run) {
  group().parts.push_back({handle->comm, stream, isSend, std::move(run)});
  return group().depth > 0 ? kSuccess : endGroup();
}

/// A collective: sends what this rank gives, and fills `out` with what it gets, which may be nothing.
int collective(Operation operation, const void* in, size_t inBytes, void* out, int type, int reduction, int root, ncclComm* handle,
               void* stream) {
  if (type < 0 || type > 9 || reduction < 0 || reduction > 4 || root < 0 || root >= handle->comm->size) return kInvalidArgument;
  return add(handle, stream, false, [=](Comm& comm) {
    FrameHeader header{FrameKind::Collective, root, comm.operations++, 0, {operation, type, reduction}};
    const bool gives = operation != Operation::Broadcast || comm.rank == root;
    const uint8_t* source = gives && inBytes > 0 ? bytesBehind(in, inBytes) : nullptr;
    if (gives && inBytes > 0 && source == nullptr) return false;
    comm.connection->send(header, source, gives ? inBytes : 0);  // what goes wrong here shows when the answer is read
    Frame result;
    if (!next(comm, FrameKind::Result, &result)) return true;
    if (result.header.what.type != 0) {
      comm.fail(kInvalidUsage, "the ranks disagree on an operation");
      return true;
    }
    if (result.body.empty()) return true;
    uint8_t* target = bytesBehind(out, result.body.size());
    if (target == nullptr) return false;
    std::memcpy(target, result.body.data(), result.body.size());
    return true;
  });
}

void connect(const std::shared_ptr<Comm>& comm, const std::string& device) {
  comm->connection = Connection::to(comm->hub, [comm] { return comm->aborted.load(); });
  if (!comm->connection) return comm->fail(kSystemError, "cannot reach the hub");
  FrameHeader hello{FrameKind::Hello, comm->rank, comm->room, 0, {}};
  hello.what.type = comm->size;
  comm->connection->send(hello, reinterpret_cast<const uint8_t*>(device.data()), device.size());
  Frame frame;
  if (!next(*comm, FrameKind::Ready, &frame)) return;
  if (!frame.body.empty()) return comm->fail(kInvalidUsage, std::string(frame.body.begin(), frame.body.end()));
  comm->state = kSuccess;
}

std::string deviceText() { return std::to_string(currentDevice()); }

}  // namespace

extern "C" {

int ncclGetVersion(int* version) {
  const char* claimed = std::getenv("TROUPE_DOUBLE_NCCL_VERSION");
  *version = claimed != nullptr ? std::atoi(claimed) : 22105;
  return kSuccess;
}

int ncclGetUniqueId(UniqueId* id) {
  *id = {};
  std::strncpy(id->internal, startHub().c_str(), sizeof id->internal - 1);
  return kSuccess;
}

int ncclCommInitRankConfig(ncclComm** handle, int size, UniqueId id, int rank, Config* config) {
  if (config->magic != 0xcafebeef || config->size < sizeof(Config) || rank < 0 || rank >= size) return kInvalidArgument;
  if (currentDevice() < 0) return kInvalidUsage;
  auto comm = std::make_shared<Comm>();
  comm->rank = rank;
  comm->size = size;
  comm->hub = id.internal;
  comm->background = std::thread([comm = comm.get(), shared = std::weak_ptr<Comm>(comm), device = deviceText()] {
    if (const auto held = shared.lock()) connect(held, device);
  });
  *handle = new ncclComm{comm, ""};
  return kInProgress;
}

int ncclCommSplit(ncclComm* parent, int color, int key, ncclComm** handle, Config*) {
  const auto from = parent->comm;
  if (from->background.joinable()) from->background.join();
  from->state = kInProgress;
  std::shared_ptr<Comm> part;
  if (color >= 0) {
    part = std::make_shared<Comm>();
    *handle = new ncclComm{part, ""};
  } else {
    *handle = nullptr;
  }
  from->background = std::thread([from = from.get(), part, color, key, device = deviceText()] {
    FrameHeader header{FrameKind::Collective, 0, from->operations++, 0, {Operation::AllGather, 1, 0}};
    const int own[3] = {color, key, from->rank};
    from->connection->send(header, reinterpret_cast<const uint8_t*>(own), sizeof own);
    Frame result;
    if (!next(*from, FrameKind::Result, &result)) return;
    std::vector<std::array<int, 3>> all(static_cast<size_t>(from->size)), members;
    std::memcpy(all.data(), result.body.data(), result.body.size());
    for (const auto& rank : all) {
      if (rank[0] == color) members.push_back(rank);
    }
    std::stable_sort(members.begin(), members.end(), [](const auto& a, const auto& b) { return a[1] < b[1]; });
    const int number = ++from->splits;
    if (part) {
      part->size = static_cast<int>(members.size());
      while (members[static_cast<size_t>(part->rank)][2] != from->rank) part->rank++;
      part->hub = from->hub;
      part->room = from->room * 1'000'003 + static_cast<uint64_t>(number) * 1009 + static_cast<uint64_t>(color) + 1;
      connect(part, device);
    }
    from->state = kSuccess;
  });
  return kInProgress;
}

int ncclCommGetAsyncError(ncclComm* handle, int* state) {
  std::lock_guard<std::mutex> lock(handle->comm->mutex);
  *state = handle->comm->state;
  if (handle->comm->unlaunched && *state == kInProgress) {
    handle->comm->state = kSuccess;
    handle->comm->unlaunched();
    handle->comm->unlaunched = nullptr;
  }
  return kSuccess;
}

int ncclCommAbort(ncclComm* handle) {
  handle->comm->aborted = true;
  if (handle->comm->background.joinable()) handle->comm->background.join();
  if (handle->comm->connection) handle->comm->connection->end();
  delete handle;
  return kSuccess;
}

int ncclCommFinalize(ncclComm* handle) { return handle->comm->state == kSuccess ? kSuccess : kInvalidUsage; }

int ncclCommDestroy(ncclComm* handle) { return ncclCommAbort(handle); }

int ncclCommRegister(ncclComm*, void* memory, size_t bytes, void** registration) {
  if (bytesBehind(memory, bytes) == nullptr) return kInvalidArgument;
  *registration = memory;
  return kSuccess;
}

int ncclCommDeregister(ncclComm*, void* registration) { return registration != nullptr ? kSuccess : kInvalidArgument; }

const char* ncclGetErrorString(int result) {
  switch (result) {
    case kSuccess: return "no error";
    case kSystemError: return "unhandled system error";
    case kInvalidArgument: return "invalid argument";
    case kInvalidUsage: return "invalid usage";
    case kRemoteError: return "remote process exited or there was a network error";
    case kInProgress: return "NCCL operation in progress";
    default: return "unknown result code";
  }
}

const char* ncclGetLastError(ncclComm* handle) {
  if (handle == nullptr) return "";
  std::lock_guard<std::mutex> lock(handle->comm->mutex);
  handle->said = handle->comm->lastError;
  return handle->said.c_str();
}

int ncclGroupStart() {
  group().depth++;
  return kSuccess;
}

int ncclGroupEnd() {
  if (group().depth == 0) return kInvalidUsage;
  return --group().depth == 0 ? endGroup() : kSuccess;
}

int ncclAllReduce(const void* in, void* out, size_t count, int type, int reduction, ncclComm* comm, void* stream) {
  return collective(Operation::AllReduce, in, count * widthOf(type), out, type, reduction, 0, comm, stream);
}

int ncclReduce(const void* in, void* out, size_t count, int type, int reduction, int root, ncclComm* comm, void* stream) {
  return collective(Operation::Reduce, in, count * widthOf(type), out, type, reduction, root, comm, stream);
}

int ncclReduceScatter(const void* in, void* out, size_t count, int type, int reduction, ncclComm* comm, void* stream) {
  return collective(Operation::ReduceScatter, in, count * widthOf(type) * static_cast<size_t>(comm->comm->size), out, type, reduction, 0,
                    comm, stream);
}

int ncclAllGather(const void* in, void* out, size_t count, int type, ncclComm* comm, void* stream) {
  return collective(Operation::AllGather, in, count * widthOf(type), out, type, 0, 0, comm, stream);
}

int ncclBroadcast(const void* in, void* out, size_t count, int type, int root, ncclComm* comm, void* stream) {
  return collective(Operation::Broadcast, in, count * widthOf(type), out, type, 0, root, comm, stream);
}

int ncclSend(const void* data, size_t count, int type, int peer, ncclComm* comm, void* stream) {
  const size_t bytes = count * widthOf(type);
  return add(comm, stream, true, [=](Comm& c) {
    const uint8_t* source = bytes > 0 ? bytesBehind(data, bytes) : nullptr;
    if (bytes > 0 && source == nullptr) return false;
    c.connection->send({FrameKind::Message, peer, 0, 0, {}}, source, bytes);
    return true;
  });
}

int ncclRecv(void* data, size_t count, int type, int peer, ncclComm* comm, void* stream) {
  const size_t bytes = count * widthOf(type);
  return add(comm, stream, false, [=](Comm& c) {
    auto& from = c.received[peer];
    while (from.empty()) {
      Frame frame;
      if (!next(c, FrameKind::Message, &frame)) return true;
      c.received[frame.header.peer].push_back(std::move(frame.body));
    }
    const std::vector<uint8_t> message = std::move(from.front());
    from.pop_front();
    if (message.size() != bytes) return false;
    if (bytes == 0) return true;
    uint8_t* target = bytesBehind(data, bytes);
    if (target == nullptr) return false;
    std::memcpy(target, message.data(), bytes);
    return true;
  });
}

}  // extern "C"
