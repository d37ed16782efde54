#include "addon/bindings.h"
#include "addon/channel_binding.h"
#include "collective/nccl/library.h"
#include "kernel/kernels.h"
#include "memory/process.h"
#include "program/limits.h"

namespace troupe::addon {
namespace {

void dieWithParent(const Napi::CallbackInfo& info) { troupe::dieWithParent(intFrom(info[0], "the parent's process id")); }

void adoptOrphans(const Napi::CallbackInfo&) { troupe::adoptOrphans(); }

Napi::Value reap(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), troupe::reap(info[0].As<Napi::Number>().Int32Value()));
}

Napi::Value kernelName(const Napi::CallbackInfo& info) { return Napi::String::New(info.Env(), kernel::kernels().name); }

Napi::Value readRate(const Napi::CallbackInfo& info) {
  const auto bytes = static_cast<size_t>(integerFrom(info[0], "bytes", 1, kMostBytes));
  return Napi::Number::New(info.Env(), program::readRate(bytes, intFrom(info[1], "threads", 1, kMostThreads)));
}

Napi::Value addTime(const Napi::CallbackInfo& info) {
  const auto bytes = static_cast<size_t>(integerFrom(info[0], "bytes", 1, kMostBytes));
  return Napi::Number::New(info.Env(), program::addTime(bytes, intFrom(info[1], "threads", 1, kMostThreads)));
}

Napi::Value pageCosts(const Napi::CallbackInfo& info) {
  const auto costs = program::pageCosts(static_cast<size_t>(integerFrom(info[0], "bytes", 1, kMostBytes)));
  auto object = Napi::Object::New(info.Env());
  object.Set("fault", costs.fault);
  object.Set("populated", costs.populated);
  object.Set("mappedFault", costs.mappedFault);
  object.Set("mappedPopulated", costs.mappedPopulated);
  object.Set("touched", costs.touched);
  return object;
}

Napi::Value multiplyAddRate(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), program::multiplyAddRate(intFrom(info[0], "threads", 1, kMostThreads)));
}

Napi::Value ncclVersion(const Napi::CallbackInfo& info) {
  return Napi::String::New(info.Env(), collective::nccl::versionText(collective::nccl::Library::get().version));
}

Napi::Value ncclUniqueId(const Napi::CallbackInfo& info) {
  const auto& nccl = collective::nccl::Library::get();
  collective::nccl::UniqueId id{};
  if (const int result = nccl.ncclGetUniqueId(&id)) throw Napi::Error::New(info.Env(), "ncclGetUniqueId: " + nccl.textOf(result, nullptr));
  return Napi::Buffer<char>::Copy(info.Env(), id.internal, sizeof id.internal);
}

Napi::Value gpuCount(const Napi::CallbackInfo& info) { return Napi::Number::New(info.Env(), cuda::deviceCount()); }

Napi::Value gpuName(const Napi::CallbackInfo& info) {
  return Napi::String::New(info.Env(), cuda::Gpu::open(intFrom(info[0], "the number of a GPU"))->name());
}

Napi::Object initialize(Napi::Env env, Napi::Object exports) {
  exports.Set("Storage", StorageBinding::define(env));
  exports.Set("RingPoller", RingPollerBinding::define(env));
  exports.Set("Communicator", CommunicatorBinding::define(env));
  exports.Set("Program", ProgramBinding::define(env));
  exports.Set("checkOperation", Napi::Function::New(env, checkOperation));
  exports.Set("compute", Napi::Function::New(env, compute));
  exports.Set("packedBytes", Napi::Function::New(env, packedBytes));
  exports.Set("packFile", Napi::Function::New(env, packFile));
  exports.Set("packRows", Napi::Function::New(env, packRows));
  exports.Set("copyBytes", Napi::Function::New(env, copyBytes));
  exports.Set("gpuName", Napi::Function::New(env, gpuName));
  exports.Set("gpuCount", Napi::Function::New(env, gpuCount));
  exports.Set("ncclUniqueId", Napi::Function::New(env, ncclUniqueId));
  exports.Set("ncclVersion", Napi::Function::New(env, ncclVersion));
  exports.Set("Store", StoreBinding::define(env));
  exports.Set("Waker", WakerBinding::define(env));
  exports.Set("ChannelWriter", ChannelWriterBinding::define(env));
  exports.Set("ChannelReader", ChannelReaderBinding::define(env));
  exports.Set("ChannelSet", ChannelSetBinding::define(env));
  exports.Set("dieWithParent", Napi::Function::New(env, dieWithParent));
  exports.Set("adoptOrphans", Napi::Function::New(env, adoptOrphans));
  exports.Set("reap", Napi::Function::New(env, reap));
  exports.Set("kernelName", Napi::Function::New(env, kernelName));
  exports.Set("readRate", Napi::Function::New(env, readRate));
  exports.Set("addTime", Napi::Function::New(env, addTime));
  exports.Set("pageCosts", Napi::Function::New(env, pageCosts));
  exports.Set("multiplyAddRate", Napi::Function::New(env, multiplyAddRate));
  return exports;
}

}  // namespace

NODE_API_MODULE(troupe, initialize)

}  // namespace troupe::addon
