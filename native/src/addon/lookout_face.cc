#include "addon/faces.h"

namespace troupe::addon {

static const Lookout::Counter* counterIn(const Napi::Value& value, size_t index) {
  return reinterpret_cast<const Lookout::Counter*>(value.As<Napi::Int32Array>().Data() + index);
}

Napi::Function LookoutFace::define(Napi::Env env) {
  return DefineClass(env, "Lookout",
                     {InstanceMethod<&LookoutFace::add>("add"), InstanceMethod<&LookoutFace::remove>("remove"),
                      InstanceMethod<&LookoutFace::watch>("watch")});
}

LookoutFace::LookoutFace(const Napi::CallbackInfo& info) : ObjectWrap(info) {}

// add(control: Int32Array, written: number, read: number)
void LookoutFace::add(const Napi::CallbackInfo& info) {
  lookout_.add(counterIn(info[0], info[1].As<Napi::Number>().Uint32Value()), counterIn(info[0], info[2].As<Napi::Number>().Uint32Value()));
}

// remove(control: Int32Array, written: number)
void LookoutFace::remove(const Napi::CallbackInfo& info) {
  lookout_.remove(counterIn(info[0], info[1].As<Napi::Number>().Uint32Value()));
}

// watch(microseconds: number): boolean
Napi::Value LookoutFace::watch(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), lookout_.watch(std::chrono::microseconds(info[0].As<Napi::Number>().Uint32Value())));
}

}  // namespace troupe::addon
