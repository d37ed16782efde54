#include "addon/faces.h"

namespace troupe::addon {

Napi::ArrayBuffer bufferOver(Napi::Env env, const std::shared_ptr<Storage>& storage) {
  if (storage->bytes() == 0) return Napi::ArrayBuffer::New(env, 0);
  auto* owner = new std::shared_ptr<Storage>(storage);
  return Napi::ArrayBuffer::New(
      env, storage->data(), storage->bytes(), [](Napi::Env, void*, std::shared_ptr<Storage>* held) { delete held; }, owner);
}

SharedMemoryHandle handleFrom(const Napi::Object& object) {
  return {object.Get("pid").As<Napi::Number>().Int32Value(), object.Get("fd").As<Napi::Number>().Int32Value(),
          object.Get("name").As<Napi::String>().Utf8Value(), static_cast<size_t>(object.Get("bytes").As<Napi::Number>().DoubleValue())};
}

Napi::Object handleTo(Napi::Env env, const SharedMemoryHandle& handle) {
  auto object = Napi::Object::New(env);
  object.Set("pid", handle.pid);
  object.Set("fd", handle.fd);
  object.Set("name", handle.name);
  object.Set("bytes", static_cast<double>(handle.bytes));
  return object;
}

static std::shared_ptr<Storage> mapFile(const Napi::Object& region) {
  const auto size = [&](const char* key) { return static_cast<size_t>(region.Get(key).As<Napi::Number>().DoubleValue()); };
  return Storage::map(region.Get("fd").As<Napi::Number>().Int32Value(), size("offset"), size("bytes"));
}

Napi::Function StorageFace::define(Napi::Env env) {
  return DefineClass(env, "Storage",
                     {InstanceAccessor<&StorageFace::buffer>("buffer"), InstanceAccessor<&StorageFace::handle>("handle"),
                      InstanceAccessor<&StorageFace::device>("device"),
                      InstanceMethod<&StorageFace::release>("release")});
}

// new Storage(bytes: number, shared: boolean), new Storage(handle), new Storage({fd, offset, bytes}) or new Storage({gpu, bytes})
StorageFace::StorageFace(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  if (info[0].IsObject()) {
    const auto object = info[0].As<Napi::Object>();
    if (object.Has("gpu")) {
      const auto bytes = static_cast<size_t>(object.Get("bytes").As<Napi::Number>().DoubleValue());
      storage_ = Storage::allocateOn(cuda::Gpu::open(object.Get("gpu").As<Napi::Number>().Int32Value()), bytes);
      return;
    }
    storage_ = object.Has("offset") ? mapFile(object) : Storage::open(handleFrom(object));
    return;
  }
  const auto bytes = static_cast<size_t>(info[0].As<Napi::Number>().DoubleValue());
  storage_ = info[1].ToBoolean() ? Storage::allocateShared(bytes) : Storage::allocate(bytes);
}

Napi::Value StorageFace::buffer(const Napi::CallbackInfo& info) {
  if (!storage_) throw Napi::Error::New(info.Env(), "this storage was released");
  if (storage_->gpu()) throw Napi::Error::New(info.Env(), "memory of a GPU cannot be read or written in place; copy it");
  if (!buffer_.IsEmpty()) {
    if (const auto known = buffer_.Value(); !known.IsEmpty()) return known;
  }
  const auto buffer = bufferOver(info.Env(), storage_);
  buffer_ = Napi::Weak(buffer);
  return buffer;
}

Napi::Value StorageFace::device(const Napi::CallbackInfo& info) {
  const auto gpu = storage_ ? storage_->gpu() : nullptr;
  return Napi::String::New(info.Env(), gpu ? "cuda:" + std::to_string(gpu->index()) : "cpu");
}

Napi::Value StorageFace::handle(const Napi::CallbackInfo& info) {
  if (!storage_ || storage_->shared() == nullptr) return info.Env().Undefined();
  return handleTo(info.Env(), storage_->shared()->handle());
}

Napi::Value StorageFace::release(const Napi::CallbackInfo& info) {
  storage_.reset();
  return info.Env().Undefined();
}

Bytes bytesOf(const Napi::Value& value) {
  Bytes bytes;
  if (value.IsTypedArray()) {
    auto array = value.As<Napi::TypedArray>();
    bytes.owner = std::make_shared<Napi::Reference<Napi::TypedArray>>(Napi::Persistent(array));
    bytes.data = static_cast<uint8_t*>(array.ArrayBuffer().Data()) + array.ByteOffset();
    bytes.bytes = array.ByteLength();
    return bytes;
  }
  if (!value.IsObject()) throw Napi::TypeError::New(value.Env(), "expected a typed array or {storage, offset, bytes}");
  const auto object = value.As<Napi::Object>();
  bytes.storage = StorageFace::Unwrap(object.Get("storage").As<Napi::Object>())->storage();
  if (!bytes.storage) throw Napi::Error::New(value.Env(), "this storage was released");
  const auto offset = static_cast<size_t>(object.Get("offset").As<Napi::Number>().DoubleValue());
  bytes.bytes = static_cast<size_t>(object.Get("bytes").As<Napi::Number>().DoubleValue());
  if (offset > bytes.storage->bytes() || bytes.bytes > bytes.storage->bytes() - offset) {
    throw Napi::RangeError::New(value.Env(), "the elements do not lie within their storage");
  }
  bytes.data = bytes.storage->data() + offset;
  return bytes;
}

namespace {

/// Copies on a thread of Node's pool, since a copy from memory that is not the driver's own blocks.
class CopyWorker : public Napi::AsyncWorker {
 public:
  CopyWorker(Napi::Env env, Bytes from, Bytes to)
      : AsyncWorker(env, "troupe copy"), deferred(env), from_(std::move(from)), to_(std::move(to)) {}

  const Napi::Promise::Deferred deferred;

 protected:
  void Execute() override {
    cuda::copy({from_.data, from_.gpu()}, {to_.data, to_.gpu()}, from_.bytes);
  }
  void OnOK() override { deferred.Resolve(Env().Undefined()); }
  void OnError(const Napi::Error& error) override { deferred.Reject(error.Value()); }

 private:
  const Bytes from_, to_;
};

}  // namespace

Napi::Value copyBytes(const Napi::CallbackInfo& info) {
  Bytes from = bytesOf(info[0]), to = bytesOf(info[1]);
  if (from.bytes != to.bytes) throw Napi::RangeError::New(info.Env(), "a copy is of as many bytes on both sides");
  auto* worker = new CopyWorker(info.Env(), std::move(from), std::move(to));
  const Napi::Promise promise = worker->deferred.Promise();
  worker->Queue();
  return promise;
}

}  // namespace troupe::addon
