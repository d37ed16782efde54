#include <chrono>
#include <map>

#include "addon/bindings.h"
#include "collective/dispatch.h"

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
  if (!object.Get("timeout").IsUndefined())
    options.timeout = std::chrono::milliseconds(integerFrom(object.Get("timeout"), "timeout", 0, INT32_MAX));
  if (!object.Get("messageBytes").IsUndefined()) options.messageBytes = messageBytesFrom(object.Get("messageBytes"));
  if (!object.Get("gpu").IsUndefined()) options.gpu = intFrom(object.Get("gpu"), "gpu");
  if (!object.Get("labels").IsUndefined()) {
    const auto labels = arrayFrom(object.Get("labels"), "labels");
    for (uint32_t i = 0; i < labels.Length(); i++) options.labels.push_back(textFrom(labels.Get(i), "a label"));
  }
  return options;
}

RankAddress addressFrom(const Napi::Object& object) {
  return {intFrom(object.Get("rank"), "rank"),
          textOf(object, "node"),
          handleFrom(objectFrom(object.Get("inbox"), "inbox")),
          textOf(object, "host"),
          intFrom(object.Get("port"), "port", 0, 65535),
          flagOf(object, "usesGpu")};
}

collective::DataType dataTypeFrom(const Napi::Value& value) {
  static const std::pair<const char*, collective::DataType> known[] = {
      {"uint8", collective::DataType::UInt8},     {"int8", collective::DataType::Int8},       {"int32", collective::DataType::Int32},
      {"int64", collective::DataType::Int64},     {"float16", collective::DataType::Float16}, {"bfloat16", collective::DataType::BFloat16},
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
      {"sum", collective::Reduction::Sum},     {"product", collective::Reduction::Product}, {"min", collective::Reduction::Minimum},
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

/// Its kind by the name that JavaScript gives it, and, of a message, whether it is sent.
void readKind(const std::string& name, Napi::Env env, collective::Request& request) {
  using collective::OperationKind;
  static const std::map<std::string, OperationKind> known{
      {"allReduce", OperationKind::AllReduce}, {"reduce", OperationKind::Reduce},        {"reduceScatter", OperationKind::ReduceScatter},
      {"allGather", OperationKind::AllGather}, {"gather", OperationKind::Gather},        {"scatter", OperationKind::Scatter},
      {"broadcast", OperationKind::Broadcast}, {"allToAll", OperationKind::AllToAll},    {"barrier", OperationKind::Barrier},
      {"send", OperationKind::PointToPoint},   {"receive", OperationKind::PointToPoint},
  };
  const auto found = known.find(name);
  if (found == known.end()) throw Napi::TypeError::New(env, "there is no collective called " + name);
  request.name = name;
  request.kind = found->second;
  request.isSent = name == "send";
}

/// {kind, type, reduction?, root?, peer?, sizes?, receiveSizes?, input?, output?}: see index.d.ts.
collective::Request requestFrom(const Napi::Object& object) {
  collective::Request request;
  readKind(textOf(object, "kind"), object.Env(), request);
  request.type = dataTypeFrom(object.Get("type"));
  if (object.Has("reduction")) request.reduction = reductionFrom(object.Get("reduction"));
  if (!object.Get("root").IsUndefined()) request.root = intFrom(object.Get("root"), "root");
  if (!object.Get("peer").IsUndefined()) request.peer = intFrom(object.Get("peer"), "peer");
  request.sizes = sizesFrom(object.Get("sizes"));
  request.receiveSizes = sizesFrom(object.Get("receiveSizes"));
  if (!object.Get("input").IsUndefined()) request.input = regionFrom(object.Get("input"));
  if (!object.Get("output").IsUndefined()) request.output = regionFrom(object.Get("output"));
  return request;
}

}  // namespace

Napi::Function CommunicatorBinding::define(Napi::Env env) {
  return DefineClass(env, "Communicator",
                     {InstanceAccessor<&CommunicatorBinding::address>("address"), InstanceMethod<&CommunicatorBinding::connect>("connect"),
                      InstanceMethod<&CommunicatorBinding::run>("run"), InstanceMethod<&CommunicatorBinding::splitGpus>("splitGpus"),
                      InstanceMethod<&CommunicatorBinding::registerMemory>("registerMemory"),
                      InstanceMethod<&CommunicatorBinding::deregisterMemory>("deregisterMemory"),
                      InstanceMethod<&CommunicatorBinding::close>("close"), InstanceMethod<&CommunicatorBinding::abort>("abort")});
}

CommunicatorBinding::CommunicatorBinding(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  tag<CommunicatorBinding>(info);
  const auto options = objectFrom(info[0], "options");
  const int size = intFrom(options.Get("size"), "size", 1, kMostRanks), rank = intFrom(options.Get("rank"), "rank", 0, size - 1);
  communicator_ = std::make_shared<collective::Communicator>(rank, size, optionsFrom(options));
}

Napi::Value CommunicatorBinding::submit(const Napi::CallbackInfo& info, std::function<void()> work) {
  if (!thread_) {
    thread_ = std::make_unique<WorkerThread>(info.Env(), "troupe communicator",
                                             [group = communicator_] { group->abort("the communicator was released"); });
  }
  return thread_->run(info.Env(), info.This().As<Napi::Object>(), std::move(work));
}

Napi::Value CommunicatorBinding::address(const Napi::CallbackInfo& info) {
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

Napi::Value CommunicatorBinding::connect(const Napi::CallbackInfo& info) {
  const auto list = arrayFrom(info[0], "addresses");
  std::vector<RankAddress> addresses;
  for (uint32_t i = 0; i < list.Length(); i++) addresses.push_back(addressFrom(objectFrom(list.Get(i), "an address")));
  return submit(info, [group = communicator_, addresses] { group->connect(addresses); });
}

// run(requests: Request[])
Napi::Value CommunicatorBinding::run(const Napi::CallbackInfo& info) {
  const auto list = arrayFrom(info[0], "requests");
  std::vector<collective::Request> requests;
  for (uint32_t i = 0; i < list.Length(); i++) requests.push_back(requestFrom(objectFrom(list.Get(i), "a request")));
  return submit(info, [group = communicator_, requests] { collective::run(*group, requests); });
}

// splitGpus(part: Communicator, color: number, key: number)
Napi::Value CommunicatorBinding::splitGpus(const Napi::CallbackInfo& info) {
  const auto part = bindingFrom<CommunicatorBinding>(info[0], "Communicator").communicator();
  const int color = intFrom(info[1], "color"), key = intFrom(info[2], "key");
  return submit(info, [group = communicator_, part, color, key] { group->splitGpus(*part, color, key); });
}

// registerMemory(id: number, region), deregisterMemory(id: number)
Napi::Value CommunicatorBinding::registerMemory(const Napi::CallbackInfo& info) {
  const int id = intFrom(info[0], "id");
  return submit(info, [group = communicator_, id, memory = regionFrom(info[1])] { group->registerMemory(id, memory.data, memory.bytes); });
}

Napi::Value CommunicatorBinding::deregisterMemory(const Napi::CallbackInfo& info) {
  const int id = intFrom(info[0], "id");
  return submit(info, [group = communicator_, id] { group->deregisterMemory(id); });
}

Napi::Value CommunicatorBinding::close(const Napi::CallbackInfo& info) {
  return submit(info, [group = communicator_] {
    group->expectConnected();
    group->close();
  });
}

Napi::Value CommunicatorBinding::abort(const Napi::CallbackInfo& info) {
  communicator_->abort(info[0].ToString().Utf8Value());
  return info.Env().Undefined();
}

}  // namespace troupe::addon
