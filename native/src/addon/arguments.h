#pragma once

#include <chrono>
#include <cmath>
#include <napi.h>
#include <string>

namespace troupe::addon {

/// Arguments from JavaScript, where they are as expected; else these throw a TypeError or RangeError that calls it `what`.

inline Napi::Object objectFrom(const Napi::Value& value, const char* what) {
  if (value.IsObject()) return value.As<Napi::Object>();
  throw Napi::TypeError::New(value.Env(), std::string(what) + ": expected an object");
}

inline Napi::Array arrayFrom(const Napi::Value& value, const char* what) {
  if (value.IsArray()) return value.As<Napi::Array>();
  throw Napi::TypeError::New(value.Env(), std::string(what) + ": expected an array");
}

inline std::string textFrom(const Napi::Value& value, const char* what) {
  if (value.IsString()) return value.As<Napi::String>().Utf8Value();
  throw Napi::TypeError::New(value.Env(), std::string(what) + ": expected a string");
}

inline bool booleanFrom(const Napi::Value& value, const char* what) {
  if (value.IsBoolean()) return value.As<Napi::Boolean>().Value();
  throw Napi::TypeError::New(value.Env(), std::string(what) + ": expected true or false");
}

inline double numberFrom(const Napi::Value& value, const char* what) {
  if (value.IsNumber()) return value.As<Napi::Number>().DoubleValue();
  throw Napi::TypeError::New(value.Env(), std::string(what) + ": expected a number");
}

/// A whole number from `least` to `most`.
inline int64_t integerFrom(const Napi::Value& value, const char* what, int64_t least, int64_t most) {
  const double number = numberFrom(value, what);
  if (number >= static_cast<double>(least) && number <= static_cast<double>(most) && number == std::floor(number))
    return static_cast<int64_t>(number);
  throw Napi::RangeError::New(value.Env(), std::string(what) + ": expected a whole number from " + std::to_string(least) + " to " +
                                               std::to_string(most) + ", found " + value.ToString().Utf8Value());
}

/// More than any memory has, and little enough that sums of several do not overflow.
constexpr int64_t kMostBytes = int64_t{1} << 50;
constexpr int64_t kMostThreads = 1024;

inline size_t bytesFrom(const Napi::Value& value, const char* what) { return static_cast<size_t>(integerFrom(value, what, 0, kMostBytes)); }
inline int intFrom(const Napi::Value& value, const char* what, int least = 0, int most = INT32_MAX) {
  return static_cast<int>(integerFrom(value, what, least, most));
}
inline uint32_t uint32From(const Napi::Value& value, const char* what) {
  return static_cast<uint32_t>(integerFrom(value, what, 0, UINT32_MAX));
}

/// A time in units of so many nanoseconds; NaN and what is below 0 are no time, and Infinity, and what comes near it, is a year.
inline std::chrono::nanoseconds timeFrom(const Napi::Value& value, double unit) {
  const double nanoseconds = numberFrom(value, "a time") * unit;
  return std::chrono::nanoseconds(nanoseconds > 0 ? static_cast<int64_t>(std::min(nanoseconds, 3e16)) : 0);
}

/// Marks the objects of a class, so that those of another are not taken for them.
template <class Binding>
void tag(const Napi::CallbackInfo& info) {
  info.This().As<Napi::Object>().TypeTag(&Binding::kTag);
}

template <class Binding>
Binding& bindingFrom(const Napi::Value& value, const char* what) {
  if (value.IsObject() && value.As<Napi::Object>().CheckTypeTag(&Binding::kTag)) {
    if (Binding* binding = Binding::Unwrap(value.As<Napi::Object>())) return *binding;
  }
  throw Napi::TypeError::New(value.Env(), std::string("expected a ") + what);
}

/// A Uint8Array's bytes.
inline std::pair<uint8_t*, size_t> uint8ArrayFrom(napi_env env, napi_value value) {
  size_t bytes = 0;
  void* data = nullptr;
  napi_typedarray_type type = napi_float64_array;
  if (napi_get_typedarray_info(env, value, &type, &bytes, &data, nullptr, nullptr) != napi_ok || type != napi_uint8_array) {
    throw Napi::TypeError::New(env, "expected a Uint8Array");
  }
  return {static_cast<uint8_t*>(data), data == nullptr ? 0 : bytes};
}

}  // namespace troupe::addon
