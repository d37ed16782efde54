#include "addon/faces.h"

namespace troupe::addon {
namespace {

const Lookout::Counter* counterIn(const Storage& memory, const Napi::Value& offset) {
  constexpr auto kBytes = static_cast<int64_t>(sizeof(Lookout::Counter));
  const auto at = integerFrom(offset, "the offset of a counter", 0, static_cast<int64_t>(memory.bytes()) - kBytes);
  if (at % kBytes != 0) throw Napi::RangeError::New(offset.Env(), "the offset of a counter: expected a multiple of 4, found " + std::to_string(at));
  return reinterpret_cast<const Lookout::Counter*>(memory.data() + at);
}

}  // namespace

Napi::Function LookoutFace::define(Napi::Env env) {
  return DefineClass(env, "Lookout",
                     {InstanceMethod<&LookoutFace::add>("add"), InstanceMethod<&LookoutFace::remove>("remove"),
                      InstanceMethod<&LookoutFace::watch>("watch")});
}

LookoutFace::LookoutFace(const Napi::CallbackInfo& info) : ObjectWrap(info) { tag<LookoutFace>(info); }

// add(memory: Storage, written: number, read: number): number
Napi::Value LookoutFace::add(const Napi::CallbackInfo& info) {
  const auto memory = faceFrom<StorageFace>(info[0], "Storage").storage();
  if (!memory || memory->gpu()) throw Napi::Error::New(info.Env(), "expected host memory that was not released");
  const auto *written = counterIn(*memory, info[1]), *read = counterIn(*memory, info[2]);
  watched_[next_] = {memory, written};
  lookout_.add(written, read);
  return Napi::Number::New(info.Env(), next_++);
}

// remove(number: number)
void LookoutFace::remove(const Napi::CallbackInfo& info) {
  const auto found = watched_.find(uint32From(info[0], "the number of a ring"));
  if (found == watched_.end()) return;
  lookout_.remove(found->second.written);
  watched_.erase(found);
}

// watch(microseconds: number): boolean
Napi::Value LookoutFace::watch(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), lookout_.watch(timeFrom(info[0], 1e3)));
}

}  // namespace troupe::addon
