#include "addon/bindings.h"

namespace troupe::addon {
namespace {

const RingPoller::Counter* counterIn(const Storage& memory, const Napi::Value& offset) {
  constexpr auto kBytes = static_cast<int64_t>(sizeof(RingPoller::Counter));
  const auto at = integerFrom(offset, "the offset of a counter", 0, static_cast<int64_t>(memory.bytes()) - kBytes);
  if (at % kBytes != 0)
    throw Napi::RangeError::New(offset.Env(), "the offset of a counter: expected a multiple of 4, found " + std::to_string(at));
  return reinterpret_cast<const RingPoller::Counter*>(memory.data() + at);
}

}  // namespace

Napi::Function RingPollerBinding::define(Napi::Env env) {
  return DefineClass(env, "RingPoller",
                     {InstanceMethod<&RingPollerBinding::add>("add"), InstanceMethod<&RingPollerBinding::remove>("remove"),
                      InstanceMethod<&RingPollerBinding::poll>("poll")});
}

RingPollerBinding::RingPollerBinding(const Napi::CallbackInfo& info) : ObjectWrap(info) { tag<RingPollerBinding>(info); }

// add(memory: Storage, written: number, read: number): number
Napi::Value RingPollerBinding::add(const Napi::CallbackInfo& info) {
  const auto memory = bindingFrom<StorageBinding>(info[0], "Storage").storage();
  if (!memory || memory->gpu()) throw Napi::Error::New(info.Env(), "expected host memory that was not released");
  const auto *written = counterIn(*memory, info[1]), *read = counterIn(*memory, info[2]);
  watched_[next_] = {memory, written};
  poller_.add(written, read);
  return Napi::Number::New(info.Env(), next_++);
}

// remove(number: number)
void RingPollerBinding::remove(const Napi::CallbackInfo& info) {
  const auto found = watched_.find(uint32From(info[0], "the number of a ring"));
  if (found == watched_.end()) return;
  poller_.remove(found->second.written);
  watched_.erase(found);
}

// poll(microseconds: number): boolean
Napi::Value RingPollerBinding::poll(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), poller_.poll(timeFrom(info[0], 1e3)));
}

}  // namespace troupe::addon
