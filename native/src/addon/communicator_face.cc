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
                      InstanceMethod<&CommunicatorFace::allReduce>("allReduce"), InstanceMethod<&CommunicatorFace::allGather>("allGather"),
                      InstanceMethod<&CommunicatorFace::send>("send"), InstanceMethod<&CommunicatorFace::receive>("receive"),
                      InstanceMethod<&CommunicatorFace::abort>("abort")});
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
  return thread_->run(info.Env(), std::move(work));
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

// allReduce(values: Float32Array): sums in place
Napi::Value CommunicatorFace::allReduce(const Napi::CallbackInfo& info) {
  const Bytes values = bytesOf(info[0]);
  return submit(info, [group = communicator_, values] {
    collective::allReduceSum(*group, reinterpret_cast<float*>(values.data), values.bytes / sizeof(float));
  });
}

// allGather(own: TypedArray, bytes: number[], all: TypedArray)
Napi::Value CommunicatorFace::allGather(const Napi::CallbackInfo& info) {
  const Bytes own = bytesOf(info[0]), all = bytesOf(info[2]);
  const auto list = info[1].As<Napi::Array>();
  std::vector<size_t> bytes;
  size_t total = 0;
  for (uint32_t i = 0; i < list.Length(); i++) {
    bytes.push_back(static_cast<size_t>(list.Get(i).As<Napi::Number>().DoubleValue()));
    total += bytes.back();
  }
  if (bytes.size() != static_cast<size_t>(communicator_->size()) || bytes[static_cast<size_t>(communicator_->rank())] != own.bytes || total != all.bytes) {
    throw Napi::RangeError::New(info.Env(), "all-gather: the sizes given do not fit the arrays");
  }
  return submit(info, [group = communicator_, own, all, bytes] { collective::allGather(*group, own.data, bytes.data(), all.data); });
}

// send(to: number, values: TypedArray)
Napi::Value CommunicatorFace::send(const Napi::CallbackInfo& info) {
  const int to = info[0].As<Napi::Number>().Int32Value();
  const Bytes values = bytesOf(info[1]);
  return submit(info, [group = communicator_, to, values] { collective::send(*group, to, values.data, values.bytes); });
}

// receive(from: number, values: TypedArray)
Napi::Value CommunicatorFace::receive(const Napi::CallbackInfo& info) {
  const int from = info[0].As<Napi::Number>().Int32Value();
  const Bytes values = bytesOf(info[1]);
  return submit(info, [group = communicator_, from, values] { collective::receive(*group, from, values.data, values.bytes); });
}

Napi::Value CommunicatorFace::abort(const Napi::CallbackInfo& info) {
  communicator_->abort(info[0].ToString().Utf8Value());
  return info.Env().Undefined();
}

}  // namespace troupe::addon
