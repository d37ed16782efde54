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
                      InstanceMethod<&StorageFace::release>("release")});
}

// new Storage(bytes: number, shared: boolean), new Storage(handle) or new Storage({fd, offset, bytes})
StorageFace::StorageFace(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  if (info[0].IsObject()) {
    const auto object = info[0].As<Napi::Object>();
    storage_ = object.Has("offset") ? mapFile(object) : Storage::open(handleFrom(object));
    return;
  }
  const auto bytes = static_cast<size_t>(info[0].As<Napi::Number>().DoubleValue());
  storage_ = info[1].ToBoolean() ? Storage::allocateShared(bytes) : Storage::allocate(bytes);
}

Napi::Value StorageFace::buffer(const Napi::CallbackInfo& info) {
  if (!storage_) throw Napi::Error::New(info.Env(), "this storage was released");
  if (!buffer_.IsEmpty()) {
    if (const auto known = buffer_.Value(); !known.IsEmpty()) return known;
  }
  const auto buffer = bufferOver(info.Env(), storage_);
  buffer_ = Napi::Weak(buffer);
  return buffer;
}

Napi::Value StorageFace::handle(const Napi::CallbackInfo& info) {
  if (!storage_ || storage_->shared() == nullptr) return info.Env().Undefined();
  return handleTo(info.Env(), storage_->shared()->handle());
}

Napi::Value StorageFace::release(const Napi::CallbackInfo& info) {
  storage_.reset();
  return info.Env().Undefined();
}

}  // namespace troupe::addon
