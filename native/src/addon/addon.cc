#include "addon/channel_face.h"
#include "addon/faces.h"
#include "kernel/kernels.h"
#include "memory/process.h"
#include "program/limits.h"

namespace troupe::addon {
namespace {

void dieWithParent(const Napi::CallbackInfo& info) { troupe::dieWithParent(info[0].As<Napi::Number>().Int32Value()); }

Napi::Value kernelName(const Napi::CallbackInfo& info) { return Napi::String::New(info.Env(), kernel::kernels().name); }

Napi::Value readRate(const Napi::CallbackInfo& info) {
  const auto bytes = static_cast<size_t>(info[0].As<Napi::Number>().DoubleValue());
  return Napi::Number::New(info.Env(), program::readRate(bytes, info[1].As<Napi::Number>().Int32Value()));
}

Napi::Value multiplyAddRate(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), program::multiplyAddRate(info[0].As<Napi::Number>().Int32Value()));
}

Napi::Object initialize(Napi::Env env, Napi::Object exports) {
  exports.Set("Storage", StorageFace::define(env));
  exports.Set("Communicator", CommunicatorFace::define(env));
  exports.Set("Program", ProgramFace::define(env));
  exports.Set("Store", StoreFace::define(env));
  exports.Set("Waker", WakerFace::define(env));
  exports.Set("ChannelWriter", ChannelWriterFace::define(env));
  exports.Set("ChannelReader", ChannelReaderFace::define(env));
  exports.Set("ChannelSet", ChannelSetFace::define(env));
  exports.Set("dieWithParent", Napi::Function::New(env, dieWithParent));
  exports.Set("kernelName", Napi::Function::New(env, kernelName));
  exports.Set("readRate", Napi::Function::New(env, readRate));
  exports.Set("multiplyAddRate", Napi::Function::New(env, multiplyAddRate));
  return exports;
}

}  // namespace

NODE_API_MODULE(troupe, initialize)

}  // namespace troupe::addon
