#include <chrono>
#include <numeric>

#include "addon/faces.h"
#include "collective/collectives.h"
#include "collective/nccl/gpu_group.h"

namespace troupe::addon {
namespace {

using collective::RankAddress;

constexpr int kMostRanks = 65536;

/// Empty where it is left out.
std::string textOf(const Napi::Object& object, const char* key) {
  const auto value = object.Get(key);
  return value.IsUndefined() ? std::string() : textFrom(value, key);
}

/// False where it is left out.
bool flagOf(const Napi::Object& object, const char* key) {
  const auto value = object.Get(key);
  return !value.IsUndefined() && booleanFrom(value, key);
}

size_t messageBytesFrom(const Napi::Value& value) {
  const auto bytes = static_cast<size_t>(integerFrom(value, "messageBytes", 1, int64_t{1} << 30));
  if ((bytes & (bytes - 1)) == 0) return bytes;
  throw Napi::RangeError::New(value.Env(), "messageBytes: expected a power of two, found " + std::to_string(bytes));
}

collective::Communicator::Options optionsFrom(const Napi::Object& object) {
  collective::Communicator::Options options;
  options.name = textOf(object, "name");
  options.node = textOf(object, "node");
  options.host = textOf(object, "host");
  options.token = textOf(object, "token");
  options.encrypt = flagOf(object, "encrypt");
  options.spin = flagOf(object, "spin");
  if (!object.Get("timeout").IsUndefined()) options.timeout = std::chrono::milliseconds(integerFrom(object.Get("timeout"), "timeout", 0, INT32_MAX));
  if (!object.Get("messageBytes").IsUndefined()) options.messageBytes = messageBytesFrom(object.Get("messageBytes"));
  if (!object.Get("gpu").IsUndefined()) options.gpu = intFrom(object.Get("gpu"), "gpu");
  if (!object.Get("labels").IsUndefined()) {
    const auto labels = arrayFrom(object.Get("labels"), "labels");
    for (uint32_t i = 0; i < labels.Length(); i++) options.labels.push_back(textFrom(labels.Get(i), "a label"));
  }
  return options;
}

RankAddress addressFrom(const Napi::Object& object) {
  return {intFrom(object.Get("rank"), "rank"), textOf(object, "node"), handleFrom(objectFrom(object.Get("inbox"), "inbox")), textOf(object, "host"),
          intFrom(object.Get("port"), "port", 0, 65535), flagOf(object, "usesGpu")};
}

collective::DataType dataTypeFrom(const Napi::Value& value) {
  static const std::pair<const char*, collective::DataType> known[] = {
      {"uint8", collective::DataType::UInt8},     {"int8", collective::DataType::Int8},         {"int32", collective::DataType::Int32},
      {"int64", collective::DataType::Int64},     {"float16", collective::DataType::Float16},   {"bfloat16", collective::DataType::BFloat16},
      {"float32", collective::DataType::Float32},
  };
  const std::string name = value.ToString().Utf8Value();
  for (const auto& [text, type] : known) {
    if (name == text) return type;
  }
  throw Napi::TypeError::New(value.Env(), "collectives have no elements of type " + name);
}

collective::Reduction reductionFrom(const Napi::Value& value) {
  static const std::pair<const char*, collective::Reduction> known[] = {
      {"sum", collective::Reduction::Sum}, {"product", collective::Reduction::Product}, {"min", collective::Reduction::Minimum},
      {"max", collective::Reduction::Maximum}, {"average", collective::Reduction::Average},
  };
  const std::string name = value.ToString().Utf8Value();
  for (const auto& [text, reduction] : known) {
    if (name == text) return reduction;
  }
  throw Napi::TypeError::New(value.Env(), "expected sum, product, min, max or average, found " + name);
}

std::vector<size_t> sizesFrom(const Napi::Value& value) {
  std::vector<size_t> sizes;
  if (value.IsUndefined()) return sizes;
  const auto list = arrayFrom(value, "sizes");
  for (uint32_t i = 0; i < list.Length(); i++) sizes.push_back(bytesFrom(list.Get(i), "a rank's size"));
  return sizes;
}

/// A collective as JavaScript describes it: {kind, type, reduction?, root?, peer?, sizes?, receiveSizes?, input?, output?}.
/// Sizes are in bytes; input and output stay alive until the operation has run.
struct Request {
  std::string kind;
  collective::DataType type = collective::DataType::UInt8;
  collective::Reduction reduction = collective::Reduction::Sum;
  int root = 0;
  int peer = 0;
  std::vector<size_t> sizes, receiveSizes;
  Bytes input{}, output{};

  size_t count() const { return input.bytes / collective::bytesOf(type); }
  std::vector<size_t> counts() const {
    std::vector<size_t> counts = sizes;
    for (auto& count : counts) count /= collective::bytesOf(type);
    return counts;
  }
  /// The GPU that its tensors are on, or null. Throws std::invalid_argument if they are in different places.
  std::shared_ptr<cuda::Gpu> gpu() const {
    const bool both = input.data != nullptr && output.data != nullptr;
    if (both && input.gpu() != output.gpu()) {
      const auto place = [](const Bytes& bytes) { return bytes.gpu() ? "cuda:" + std::to_string(bytes.gpu()->index()) : std::string("host memory"); };
      throw std::invalid_argument(kind + ": the input is on " + place(input) + ", the output on " + place(output) + "; they must be in one place");
    }
    return input.gpu() ? input.gpu() : output.gpu();
  }
};

Request requestFrom(const Napi::Object& object) {
  Request request;
  request.kind = textOf(object, "kind");
  request.type = dataTypeFrom(object.Get("type"));
  if (object.Has("reduction")) request.reduction = reductionFrom(object.Get("reduction"));
  if (!object.Get("root").IsUndefined()) request.root = intFrom(object.Get("root"), "root");
  if (!object.Get("peer").IsUndefined()) request.peer = intFrom(object.Get("peer"), "peer");
  request.sizes = sizesFrom(object.Get("sizes"));
  request.receiveSizes = sizesFrom(object.Get("receiveSizes"));
  if (!object.Get("input").IsUndefined()) request.input = bytesOf(object.Get("input"));
  if (!object.Get("output").IsUndefined()) request.output = bytesOf(object.Get("output"));
  return request;
}

/// Whether a request names ranks of the group and its memory is as large as its sizes say. Throws std::invalid_argument.
void check(const collective::Communicator& group, const Request& r) {
  const auto ranks = static_cast<size_t>(group.size()), rank = static_cast<size_t>(group.rank());
  const auto expect = [&](bool holds, const char* what) {
    if (!holds) throw std::invalid_argument("group '" + group.name() + "', " + r.kind + ": expected " + what);
  };
  const auto sum = [](const std::vector<size_t>& sizes) { return std::accumulate(sizes.begin(), sizes.end(), size_t{0}); };
  const auto each = [&](const std::vector<size_t>& sizes) { expect(sizes.size() == ranks, "a size for every rank"); };
  expect(static_cast<size_t>(r.root) < ranks, "a root that is a rank of the group");
  const bool isRoot = static_cast<size_t>(r.root) == rank;
  const size_t width = collective::bytesOf(r.type);
  expect(r.input.bytes % width == 0 && r.output.bytes % width == 0, "whole elements of its type");
  for (const size_t size : r.sizes) expect(size % width == 0, "sizes of whole elements");
  if (r.kind == "allReduce") expect(r.input.bytes == r.output.bytes, "an output of the input's size");
  if (r.kind == "reduce") expect(!isRoot || r.input.bytes == r.output.bytes, "an output of the input's size at the root");
  if (r.kind == "broadcast") expect(!isRoot || r.input.bytes == r.output.bytes, "an input of the output's size at the root");
  if (r.kind == "allGather" || r.kind == "gather") {
    each(r.sizes);
    expect(r.input.bytes == r.sizes[rank], "an input of this rank's size");
    if (r.kind == "allGather" || isRoot) expect(r.output.bytes == sum(r.sizes), "an output of all ranks' sizes together");
  }
  if (r.kind == "scatter" || r.kind == "reduceScatter") {
    each(r.sizes);
    expect(r.output.bytes == r.sizes[rank], "an output of this rank's size");
    if (r.kind == "reduceScatter" || isRoot) expect(r.input.bytes == sum(r.sizes), "an input of all ranks' sizes together");
  }
  if (r.kind == "allToAll") {
    each(r.sizes);
    each(r.receiveSizes);
    expect(r.input.bytes == sum(r.sizes) && r.output.bytes == sum(r.receiveSizes), "an input and an output of the sizes together");
    expect(r.sizes[rank] == r.receiveSizes[rank], "as many bytes to itself as from itself");
  }
  if (r.kind == "send" || r.kind == "receive") expect(static_cast<size_t>(r.peer) < ranks && static_cast<size_t>(r.peer) != rank, "another rank of the group");
}

bool passesMessage(const Request& request) { return request.kind == "send" || request.kind == "receive"; }

void run(collective::Communicator& group, const Request& r) {
  const uint8_t* in = r.input.data;
  uint8_t* out = r.output.data;
  if (r.kind == "allReduce") return collective::allReduce(group, in, out, r.count(), r.type, r.reduction);
  if (r.kind == "reduce") return collective::reduce(group, in, out, r.count(), r.type, r.reduction, r.root);
  if (r.kind == "broadcast") return collective::broadcast(group, in, out, r.output.bytes, r.root, r.type);
  if (r.kind == "barrier") return collective::barrier(group);
  if (r.kind == "allGather") return collective::allGather(group, in, r.sizes.data(), out, r.type);
  if (r.kind == "gather") return collective::gather(group, in, r.sizes.data(), out, r.root, r.type);
  if (r.kind == "scatter") return collective::scatter(group, in, r.sizes.data(), out, r.root, r.type);
  if (r.kind == "allToAll") return collective::allToAll(group, in, r.sizes.data(), out, r.receiveSizes.data(), r.type);
  if (r.kind == "reduceScatter") return collective::reduceScatter(group, in, out, r.counts().data(), r.type, r.reduction);
  throw std::invalid_argument("there is no collective called " + r.kind);
}

void runOnGpu(collective::nccl::GpuGroup& group, const Request& r) {
  const uint8_t* in = r.input.data;
  uint8_t* out = r.output.data;
  if (r.kind == "allReduce") return group.allReduce(in, out, r.count(), r.type, r.reduction);
  if (r.kind == "reduce") return group.reduce(in, out, r.count(), r.type, r.reduction, r.root);
  if (r.kind == "broadcast") return group.broadcast(in, out, r.output.bytes, r.root, r.type);
  if (r.kind == "allGather") return group.allGather(in, r.sizes.data(), out, r.type);
  if (r.kind == "gather") return group.gather(in, r.sizes.data(), out, r.root, r.type);
  if (r.kind == "scatter") return group.scatter(in, r.sizes.data(), out, r.root, r.type);
  if (r.kind == "allToAll") return group.allToAll(in, r.sizes.data(), out, r.receiveSizes.data(), r.type);
  if (r.kind == "reduceScatter") return group.reduceScatter(in, out, r.counts().data(), r.type, r.reduction);
  throw std::invalid_argument("there is no collective on GPUs called " + r.kind);
}

/// What the ranks compare before they meet over NCCL for a request.
collective::Signature signatureOf(const Request& r) {
  using collective::OperationKind;
  static const std::map<std::string, OperationKind> kinds{
      {"allReduce", OperationKind::AllReduce}, {"reduce", OperationKind::Reduce},   {"reduceScatter", OperationKind::ReduceScatter},
      {"allGather", OperationKind::AllGather}, {"gather", OperationKind::Gather},   {"scatter", OperationKind::Scatter},
      {"broadcast", OperationKind::Broadcast}, {"allToAll", OperationKind::AllToAll},
  };
  const auto found = kinds.find(r.kind);
  const OperationKind kind = found != kinds.end() ? found->second : OperationKind::PointToPoint;
  const bool rooted = kind == OperationKind::Reduce || kind == OperationKind::Gather || kind == OperationKind::Scatter || kind == OperationKind::Broadcast;
  size_t bytes = kind == OperationKind::Broadcast ? r.output.bytes : r.input.bytes;
  if (!r.sizes.empty()) bytes = kind == OperationKind::AllToAll ? 0 : std::accumulate(r.sizes.begin(), r.sizes.end(), size_t{0});
  return {kind, r.type, r.reduction, 1, rooted ? r.root : -1, bytes, 0};
}

// Collectives run in order; the messages between two of them are exchanged all at once. What follows each other on a GPU is
// given to it at once, and waited for together.
void runAll(collective::Communicator& group, const std::vector<Request>& requests) {
  group.expectConnected();
  for (const Request& r : requests) {
    check(group, r);
    r.input.expectUnchanged();
  }
  std::vector<collective::Message> messages;
  std::shared_ptr<cuda::Gpu> gpu;  // that the messages and what is under way are on
  collective::nccl::GpuGroup* onGpu = nullptr;
  const auto exchangeMessages = [&] {
    if (messages.empty()) return;
    onGpu != nullptr ? onGpu->exchange(messages) : collective::exchange(group, messages);
    messages.clear();
  };
  const auto finish = [&] {
    exchangeMessages();
    if (onGpu != nullptr) onGpu->wait();
    onGpu = nullptr;
  };
  for (const Request& r : requests) {
    const auto place = r.gpu();
    if (place != gpu) finish();
    gpu = place;
    if (gpu && onGpu == nullptr) onGpu = &group.onGpu(gpu, signatureOf(r));
    if (passesMessage(r)) {
      const Bytes& bytes = r.kind == "send" ? r.input : r.output;
      messages.push_back({r.peer, r.kind == "send", bytes.data, bytes.bytes, r.type});
    } else {
      exchangeMessages();
      gpu ? runOnGpu(*onGpu, r) : run(group, r);
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

}  // namespace

Napi::Function CommunicatorFace::define(Napi::Env env) {
  return DefineClass(env, "Communicator",
                     {InstanceAccessor<&CommunicatorFace::address>("address"), InstanceMethod<&CommunicatorFace::connect>("connect"),
                      InstanceMethod<&CommunicatorFace::run>("run"), InstanceMethod<&CommunicatorFace::splitGpus>("splitGpus"),
                      InstanceMethod<&CommunicatorFace::registerMemory>("registerMemory"),
                      InstanceMethod<&CommunicatorFace::deregisterMemory>("deregisterMemory"), InstanceMethod<&CommunicatorFace::close>("close"),
                      InstanceMethod<&CommunicatorFace::abort>("abort")});
}

CommunicatorFace::CommunicatorFace(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  tag<CommunicatorFace>(info);
  const auto options = objectFrom(info[0], "options");
  const int size = intFrom(options.Get("size"), "size", 1, kMostRanks), rank = intFrom(options.Get("rank"), "rank", 0, size - 1);
  communicator_ = std::make_shared<collective::Communicator>(rank, size, optionsFrom(options));
}

Napi::Value CommunicatorFace::submit(const Napi::CallbackInfo& info, std::function<void()> work) {
  if (!thread_) {
    thread_ = std::make_unique<WorkerThread>(info.Env(), "troupe communicator",
                                             [group = communicator_] { group->abort("the communicator was released"); });
  }
  return thread_->run(info.Env(), info.This().As<Napi::Object>(), std::move(work));
}

Napi::Value CommunicatorFace::address(const Napi::CallbackInfo& info) {
  const RankAddress address = communicator_->address();
  auto object = Napi::Object::New(info.Env());
  object.Set("rank", address.rank);
  object.Set("node", address.node);
  object.Set("inbox", handleTo(info.Env(), address.inbox));
  object.Set("host", address.host);
  object.Set("port", address.port);
  object.Set("usesGpu", address.usesGpu);
  return object;
}

Napi::Value CommunicatorFace::connect(const Napi::CallbackInfo& info) {
  const auto list = arrayFrom(info[0], "addresses");
  std::vector<RankAddress> addresses;
  for (uint32_t i = 0; i < list.Length(); i++) addresses.push_back(addressFrom(objectFrom(list.Get(i), "an address")));
  return submit(info, [group = communicator_, addresses] { group->connect(addresses); });
}

// run(requests: Request[])
Napi::Value CommunicatorFace::run(const Napi::CallbackInfo& info) {
  const auto list = arrayFrom(info[0], "requests");
  std::vector<Request> requests;
  for (uint32_t i = 0; i < list.Length(); i++) requests.push_back(requestFrom(objectFrom(list.Get(i), "a request")));
  return submit(info, [group = communicator_, requests] { runAll(*group, requests); });
}

// splitGpus(part: Communicator, color: number, key: number)
Napi::Value CommunicatorFace::splitGpus(const Napi::CallbackInfo& info) {
  const auto part = faceFrom<CommunicatorFace>(info[0], "Communicator").communicator();
  const int color = intFrom(info[1], "color"), key = intFrom(info[2], "key");
  return submit(info, [group = communicator_, part, color, key] { group->splitGpus(*part, color, key); });
}

// registerMemory(id: number, region), deregisterMemory(id: number)
Napi::Value CommunicatorFace::registerMemory(const Napi::CallbackInfo& info) {
  const int id = intFrom(info[0], "id");
  return submit(info, [group = communicator_, registrations = registrations_, id, memory = bytesOf(info[1])] {
    if (auto* gpus = group->gpus()) (*registrations)[id] = gpus->registerMemory(memory.data, memory.bytes);
  });
}

Napi::Value CommunicatorFace::deregisterMemory(const Napi::CallbackInfo& info) {
  const int id = intFrom(info[0], "id");
  return submit(info, [group = communicator_, registrations = registrations_, id] {
    const auto found = registrations->find(id);
    if (found == registrations->end()) return;
    if (auto* gpus = group->gpus()) gpus->deregisterMemory(found->second);
    registrations->erase(found);
  });
}

Napi::Value CommunicatorFace::close(const Napi::CallbackInfo& info) {
  return submit(info, [group = communicator_] {
    group->expectConnected();
    group->close();
  });
}

Napi::Value CommunicatorFace::abort(const Napi::CallbackInfo& info) {
  communicator_->abort(info[0].ToString().Utf8Value());
  return info.Env().Undefined();
}

}  // namespace troupe::addon
