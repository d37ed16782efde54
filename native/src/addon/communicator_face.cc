#include <chrono>

#include "addon/faces.h"
#include "collective/collectives.h"

namespace troupe::addon {
namespace {

using collective::RankAddress;

std::string textOf(const Napi::Object& object, const char* key) {
  return object.Has(key) && object.Get(key).IsString() ? object.Get(key).As<Napi::String>().Utf8Value() : std::string();
}

collective::Communicator::Options optionsFrom(const Napi::Object& object) {
  collective::Communicator::Options options;
  options.name = textOf(object, "name");
  options.node = textOf(object, "node");
  options.host = textOf(object, "host");
  options.token = textOf(object, "token");
  options.spin = object.Get("spin").ToBoolean();
  if (object.Get("timeout").IsNumber()) options.timeout = std::chrono::milliseconds(object.Get("timeout").As<Napi::Number>().Int64Value());
  if (object.Get("labels").IsArray()) {
    const auto labels = object.Get("labels").As<Napi::Array>();
    for (uint32_t i = 0; i < labels.Length(); i++) options.labels.push_back(labels.Get(i).ToString().Utf8Value());
  }
  return options;
}

RankAddress addressFrom(const Napi::Object& object) {
  return {object.Get("rank").As<Napi::Number>().Int32Value(), textOf(object, "node"), handleFrom(object.Get("inbox").As<Napi::Object>()),
          textOf(object, "host"), object.Get("port").As<Napi::Number>().Int32Value()};
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
  if (!value.IsArray()) return sizes;
  const auto list = value.As<Napi::Array>();
  for (uint32_t i = 0; i < list.Length(); i++) sizes.push_back(static_cast<size_t>(list.Get(i).As<Napi::Number>().DoubleValue()));
  return sizes;
}

/// A collective as JavaScript describes it: {kind, type, reduction?, root?, peer?, sizes?, receiveSizes?, input?, output?}.
/// Sizes are in bytes; input and output are typed arrays, which stay alive until the operation has run.
struct Request {
  std::string kind;
  collective::DataType type = collective::DataType::UInt8;
  collective::Reduction reduction = collective::Reduction::Sum;
  int root = 0;
  int peer = 0;
  std::vector<size_t> sizes, receiveSizes;
  Bytes input{}, output{};

  size_t count() const { return input.bytes / bytesOf(type); }
};

Request requestFrom(const Napi::Object& object) {
  Request request;
  request.kind = textOf(object, "kind");
  request.type = dataTypeFrom(object.Get("type"));
  if (object.Has("reduction")) request.reduction = reductionFrom(object.Get("reduction"));
  if (object.Get("root").IsNumber()) request.root = object.Get("root").As<Napi::Number>().Int32Value();
  if (object.Get("peer").IsNumber()) request.peer = object.Get("peer").As<Napi::Number>().Int32Value();
  request.sizes = sizesFrom(object.Get("sizes"));
  request.receiveSizes = sizesFrom(object.Get("receiveSizes"));
  if (object.Get("input").IsTypedArray()) request.input = bytesOf(object.Get("input"));
  if (object.Get("output").IsTypedArray()) request.output = bytesOf(object.Get("output"));
  return request;
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
  if (r.kind == "reduceScatter") {
    std::vector<size_t> counts = r.sizes;
    for (auto& count : counts) count /= bytesOf(r.type);
    return collective::reduceScatter(group, in, out, counts.data(), r.type, r.reduction);
  }
  throw std::invalid_argument("there is no collective called " + r.kind);
}

// Collectives run in order; the messages between two of them are exchanged all at once.
void runAll(collective::Communicator& group, const std::vector<Request>& requests) {
  std::vector<collective::Message> messages;
  const auto exchangeMessages = [&] {
    if (!messages.empty()) collective::exchange(group, messages);
    messages.clear();
  };
  for (const Request& r : requests) {
    if (passesMessage(r)) {
      const Bytes& bytes = r.kind == "send" ? r.input : r.output;
      messages.push_back({r.peer, r.kind == "send", bytes.data, bytes.bytes, r.type});
    } else {
      exchangeMessages();
      run(group, r);
    }
  }
  exchangeMessages();
}

}  // namespace

Bytes bytesOf(const Napi::Value& value) {
  if (!value.IsTypedArray()) throw Napi::TypeError::New(value.Env(), "expected a typed array");
  auto array = value.As<Napi::TypedArray>();
  auto* start = static_cast<uint8_t*>(array.ArrayBuffer().Data()) + array.ByteOffset();
  return {std::make_shared<Napi::Reference<Napi::TypedArray>>(Napi::Persistent(array)), start, array.ByteLength()};
}

Napi::Function CommunicatorFace::define(Napi::Env env) {
  return DefineClass(env, "Communicator",
                     {InstanceAccessor<&CommunicatorFace::address>("address"), InstanceMethod<&CommunicatorFace::connect>("connect"),
                      InstanceMethod<&CommunicatorFace::run>("run"), InstanceMethod<&CommunicatorFace::abort>("abort")});
}

CommunicatorFace::CommunicatorFace(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  const auto options = info[0].As<Napi::Object>();
  communicator_ = std::make_shared<collective::Communicator>(options.Get("rank").As<Napi::Number>().Int32Value(),
                                                             options.Get("size").As<Napi::Number>().Int32Value(), optionsFrom(options));
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
  return object;
}

Napi::Value CommunicatorFace::connect(const Napi::CallbackInfo& info) {
  const auto list = info[0].As<Napi::Array>();
  std::vector<RankAddress> addresses;
  for (uint32_t i = 0; i < list.Length(); i++) addresses.push_back(addressFrom(list.Get(i).As<Napi::Object>()));
  return submit(info, [group = communicator_, addresses] { group->connect(addresses); });
}

// run(requests: Request[]): the sizes have been checked by whoever made the requests
Napi::Value CommunicatorFace::run(const Napi::CallbackInfo& info) {
  const auto list = info[0].As<Napi::Array>();
  std::vector<Request> requests;
  for (uint32_t i = 0; i < list.Length(); i++) requests.push_back(requestFrom(list.Get(i).As<Napi::Object>()));
  return submit(info, [group = communicator_, requests] { runAll(*group, requests); });
}

Napi::Value CommunicatorFace::abort(const Napi::CallbackInfo& info) {
  communicator_->abort(info[0].ToString().Utf8Value());
  return info.Env().Undefined();
}

}  // namespace troupe::addon
