#pragma once

#include <array>
#include <memory>
#include <napi.h>
#include <vector>

#include "channel/channel.h"
#include "channel/reader_set.h"

namespace troupe::addon {

/// `new Waker()`, `.fd`.
class WakerBinding : public Napi::ObjectWrap<WakerBinding> {
 public:
  static constexpr napi_type_tag kTag{0x74726f7570650000, 6};
  static Napi::Function define(Napi::Env env);
  explicit WakerBinding(const Napi::CallbackInfo& info);

  const std::shared_ptr<Waker>& waker() const { return waker_; }

 private:
  Napi::Value fd(const Napi::CallbackInfo& info);

  std::shared_ptr<Waker> waker_;
};

/// `new ChannelWriter({messages, bytes, readers}, waker)`; see index.d.ts.
class ChannelWriterBinding : public Napi::ObjectWrap<ChannelWriterBinding> {
 public:
  static constexpr napi_type_tag kTag{0x74726f7570650000, 7};
  static Napi::Function define(Napi::Env env);
  explicit ChannelWriterBinding(const Napi::CallbackInfo& info);

 private:
  Napi::Value handle(const Napi::CallbackInfo& info);
  Napi::Value limit(const Napi::CallbackInfo& info);
  Napi::Value written(const Napi::CallbackInfo& info);
  Napi::Value taken(const Napi::CallbackInfo& info);
  Napi::Value hasReaders(const Napi::CallbackInfo& info);
  Napi::Value write(const Napi::CallbackInfo& info);
  Napi::Value writeScalar(const Napi::CallbackInfo& info);
  Napi::Value hasRoom(const Napi::CallbackInfo& info);
  Napi::Value arm(const Napi::CallbackInfo& info);
  Napi::Value wait(const Napi::CallbackInfo& info);
  Napi::Value checkReaders(const Napi::CallbackInfo& info);
  Napi::Value close(const Napi::CallbackInfo& info);

  std::unique_ptr<channel::Writer> writer_;
};

/// `new ChannelReader(handle, index, waker)`; see index.d.ts.
class ChannelReaderBinding : public Napi::ObjectWrap<ChannelReaderBinding> {
 public:
  static constexpr napi_type_tag kTag{0x74726f7570650000, 8};
  static Napi::Function define(Napi::Env env);
  explicit ChannelReaderBinding(const Napi::CallbackInfo& info);

  const std::shared_ptr<channel::Reader>& reader() const { return reader_; }

 private:
  Napi::Value buffer(const Napi::CallbackInfo& info);
  Napi::Value frame(const Napi::CallbackInfo& info);
  Napi::Value peek(const Napi::CallbackInfo& info);
  Napi::Value takeScalar(const Napi::CallbackInfo& info);
  Napi::Value advance(const Napi::CallbackInfo& info);
  Napi::Value acknowledge(const Napi::CallbackInfo& info);
  Napi::Value wait(const Napi::CallbackInfo& info);
  Napi::Value arm(const Napi::CallbackInfo& info);
  Napi::Value disarm(const Napi::CallbackInfo& info);
  Napi::Value isClosed(const Napi::CallbackInfo& info);
  Napi::Value isWriterAlive(const Napi::CallbackInfo& info);
  Napi::Value writerPid(const Napi::CallbackInfo& info);
  Napi::Value close(const Napi::CallbackInfo& info);

  /// Waits for a message at most for some microseconds, and notes in the frame where it is.
  bool find(const Napi::Value& limit, channel::Message* message);

  std::shared_ptr<channel::Reader> reader_;
  Napi::Reference<Napi::ArrayBuffer> buffer_;
  Napi::Reference<Napi::Uint32Array> frame_;
  std::shared_ptr<std::array<uint32_t, 3>> found_ = std::make_shared<std::array<uint32_t, 3>>();  // behind frame_
};

/// `new ChannelSet(readers)`; see index.d.ts.
class ChannelSetBinding : public Napi::ObjectWrap<ChannelSetBinding> {
 public:
  static constexpr napi_type_tag kTag{0x74726f7570650000, 9};
  static Napi::Function define(Napi::Env env);
  explicit ChannelSetBinding(const Napi::CallbackInfo& info);

 private:
  Napi::Value wait(const Napi::CallbackInfo& info);
  Napi::Value arm(const Napi::CallbackInfo& info);
  Napi::Value disarm(const Napi::CallbackInfo& info);

  std::unique_ptr<channel::ReaderSet> readers_;
};

}  // namespace troupe::addon
