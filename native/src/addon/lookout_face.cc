#include "addon/faces.h"

namespace troupe::addon {

static Napi::Int32Array controlFrom(const Napi::Value& value) {
  if (value.IsTypedArray() && value.As<Napi::TypedArray>().TypedArrayType() == napi_int32_array) return value.As<Napi::Int32Array>();
  throw Napi::TypeError::New(value.Env(), "control: expected an Int32Array");
}

static const Lookout::Counter* counterIn(const Napi::Value& value, const Napi::Value& index) {
  const auto control = controlFrom(value);
  const auto at = integerFrom(index, "the index of a counter", 0, static_cast<int64_t>(control.ElementLength()) - 1);
  return reinterpret_cast<const Lookout::Counter*>(control.Data() + at);
}

Napi::Function LookoutFace::define(Napi::Env env) {
  return DefineClass(env, "Lookout",
                     {InstanceMethod<&LookoutFace::add>("add"), InstanceMethod<&LookoutFace::remove>("remove"),
                      InstanceMethod<&LookoutFace::watch>("watch")});
}

LookoutFace::LookoutFace(const Napi::CallbackInfo& info) : ObjectWrap(info) { tag<LookoutFace>(info); }

// add(control: Int32Array, written: number, read: number)
void LookoutFace::add(const Napi::CallbackInfo& info) {
  const auto *written = counterIn(info[0], info[1]), *read = counterIn(info[0], info[2]);
  watched_[written] = Napi::Persistent(controlFrom(info[0]));
  lookout_.add(written, read);
}

// remove(control: Int32Array, written: number)
void LookoutFace::remove(const Napi::CallbackInfo& info) {
  const auto* written = counterIn(info[0], info[1]);
  lookout_.remove(written);
  watched_.erase(written);
}

// watch(microseconds: number): boolean
Napi::Value LookoutFace::watch(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), lookout_.watch(timeFrom(info[0], 1e3)));
}

}  // namespace troupe::addon
