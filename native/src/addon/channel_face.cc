#include "addon/channel_face.h"

#include "addon/faces.h"
#include "channel/scalar.h"

namespace troupe::addon {
namespace {

std::chrono::nanoseconds microseconds(const Napi::Value& value) {
  return timeFrom(value, 1e3);
}

std::chrono::nanoseconds milliseconds(const Napi::Value& value) {
  return timeFrom(value, 1e6);
}

Napi::Value boolean(const Napi::CallbackInfo& info, bool value) { return Napi::Boolean::New(info.Env(), value); }

Napi::Value number(const Napi::CallbackInfo& info, double value) { return Napi::Number::New(info.Env(), value); }

/// What messages and rings may have: their places are told by 32 bits.
constexpr int64_t kMostRingBytes = int64_t{1} << 30;

size_t size(const Napi::Value& value) { return bytesFrom(value, "bytes"); }

/// False for what is no scalar.
bool scalarFrom(napi_env env, napi_value value, channel::Scalar* scalar) {
  napi_valuetype type;
  if (napi_typeof(env, value, &type) != napi_ok) return false;
  switch (type) {
    case napi_number: scalar->kind = channel::Scalar::kNumber; return napi_get_value_double(env, value, &scalar->number) == napi_ok;
    case napi_null: scalar->kind = channel::Scalar::kNull; return true;
    case napi_boolean: {
      bool isTrue = false;
      napi_get_value_bool(env, value, &isTrue);
      scalar->kind = isTrue ? channel::Scalar::kTrue : channel::Scalar::kFalse;
      return true;
    }
    default: return false;
  }
}

Napi::Value scalarTo(Napi::Env env, const channel::Scalar& scalar) {
  switch (scalar.kind) {
    case channel::Scalar::kNumber: return Napi::Number::New(env, scalar.number);
    case channel::Scalar::kNull: return env.Null();
    default: return Napi::Boolean::New(env, scalar.kind == channel::Scalar::kTrue);
  }
}

std::shared_ptr<Waker> wakerOf(const Napi::Value& value) { return faceFrom<WakerFace>(value, "Waker").waker(); }

}  // namespace

Napi::Function WakerFace::define(Napi::Env env) {
  return DefineClass(env, "Waker", {InstanceAccessor<&WakerFace::fd>("fd")});
}

WakerFace::WakerFace(const Napi::CallbackInfo& info) : ObjectWrap(info), waker_(std::make_shared<Waker>()) { tag<WakerFace>(info); }

Napi::Value WakerFace::fd(const Napi::CallbackInfo& info) { return number(info, waker_->readEnd()); }

Napi::Function ChannelWriterFace::define(Napi::Env env) {
  return DefineClass(
      env, "ChannelWriter",
      {InstanceAccessor<&ChannelWriterFace::handle>("handle"), InstanceAccessor<&ChannelWriterFace::limit>("limit"),
       InstanceAccessor<&ChannelWriterFace::written>("written"), InstanceAccessor<&ChannelWriterFace::taken>("taken"),
       InstanceAccessor<&ChannelWriterFace::hasReaders>("hasReaders"), InstanceMethod<&ChannelWriterFace::write>("write"),
       InstanceMethod<&ChannelWriterFace::writeScalar>("writeScalar"),
       InstanceMethod<&ChannelWriterFace::hasRoom>("hasRoom"), InstanceMethod<&ChannelWriterFace::arm>("arm"),
       InstanceMethod<&ChannelWriterFace::wait>("wait"), InstanceMethod<&ChannelWriterFace::checkReaders>("checkReaders"),
       InstanceMethod<&ChannelWriterFace::close>("close")});
}

ChannelWriterFace::ChannelWriterFace(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  const auto options = objectFrom(info[0], "options");
  channel::Writer::Options chosen;
  chosen.messages = uint32From(options.Get("messages"), "messages");
  chosen.bytes = static_cast<size_t>(integerFrom(options.Get("bytes"), "bytes", 0, kMostRingBytes));
  chosen.readers = uint32From(options.Get("readers"), "readers");
  writer_ = std::make_unique<channel::Writer>(chosen, wakerOf(info[1]));
  tag<ChannelWriterFace>(info);
}

Napi::Value ChannelWriterFace::handle(const Napi::CallbackInfo& info) { return handleTo(info.Env(), writer_->handle()); }
Napi::Value ChannelWriterFace::limit(const Napi::CallbackInfo& info) { return number(info, static_cast<double>(writer_->limit())); }
Napi::Value ChannelWriterFace::written(const Napi::CallbackInfo& info) { return number(info, static_cast<double>(writer_->written())); }
Napi::Value ChannelWriterFace::taken(const Napi::CallbackInfo& info) { return number(info, static_cast<double>(writer_->taken())); }
Napi::Value ChannelWriterFace::hasReaders(const Napi::CallbackInfo& info) { return boolean(info, writer_->hasReaders()); }

// write(tag, ...pieces)
Napi::Value ChannelWriterFace::write(const Napi::CallbackInfo& info) {
  constexpr size_t kFew = 4;
  channel::Piece few[kFew];
  std::vector<channel::Piece> many;
  const uint32_t messageTag = uint32From(info[0], "tag");
  const size_t count = info.Length() - 1;
  channel::Piece* pieces = few;
  if (count > kFew) {
    many.resize(count);
    pieces = many.data();
  }
  for (size_t i = 0; i < count; i++) {
    const auto [data, bytes] = uint8ArrayFrom(info.Env(), info[i + 1]);
    pieces[i] = {data, bytes};
  }
  return boolean(info, writer_->write(messageTag, pieces, count));
}

Napi::Value ChannelWriterFace::writeScalar(const Napi::CallbackInfo& info) {
  channel::Scalar scalar;
  if (!scalarFrom(info.Env(), info[0], &scalar)) return info.Env().Undefined();
  uint8_t bytes[channel::kMostScalarBytes];
  const channel::Piece piece{bytes, channel::packScalar(scalar, bytes)};
  return boolean(info, writer_->write(0, &piece, 1));
}

Napi::Value ChannelWriterFace::hasRoom(const Napi::CallbackInfo& info) { return boolean(info, writer_->hasRoom(size(info[0]))); }
Napi::Value ChannelWriterFace::arm(const Napi::CallbackInfo& info) { return boolean(info, writer_->armForRoom(size(info[0]))); }

Napi::Value ChannelWriterFace::wait(const Napi::CallbackInfo& info) {
  return boolean(info, writer_->waitForRoom(size(info[0]), milliseconds(info[1])));
}

Napi::Value ChannelWriterFace::checkReaders(const Napi::CallbackInfo& info) {
  writer_->checkReaders();
  return info.Env().Undefined();
}

Napi::Value ChannelWriterFace::close(const Napi::CallbackInfo& info) {
  writer_->close();
  return info.Env().Undefined();
}

Napi::Function ChannelReaderFace::define(Napi::Env env) {
  return DefineClass(
      env, "ChannelReader",
      {InstanceAccessor<&ChannelReaderFace::buffer>("buffer"), InstanceAccessor<&ChannelReaderFace::frame>("frame"),
       InstanceMethod<&ChannelReaderFace::peek>("peek"), InstanceMethod<&ChannelReaderFace::takeScalar>("takeScalar"),
       InstanceMethod<&ChannelReaderFace::advance>("advance"),
       InstanceMethod<&ChannelReaderFace::acknowledge>("acknowledge"), InstanceMethod<&ChannelReaderFace::wait>("wait"),
       InstanceMethod<&ChannelReaderFace::arm>("arm"), InstanceMethod<&ChannelReaderFace::disarm>("disarm"),
       InstanceAccessor<&ChannelReaderFace::isClosed>("isClosed"), InstanceAccessor<&ChannelReaderFace::isWriterAlive>("isWriterAlive"),
       InstanceAccessor<&ChannelReaderFace::writerPid>("writerPid"), InstanceMethod<&ChannelReaderFace::close>("close")});
}

ChannelReaderFace::ChannelReaderFace(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  reader_ = std::make_shared<channel::Reader>(handleFrom(objectFrom(info[0], "handle")), uint32From(info[1], "index"), wakerOf(info[2]));
  tag<ChannelReaderFace>(info);
  auto* owner = new std::shared_ptr<channel::Reader>(reader_);
  const auto& mapping = reader_->mapping();
  const auto buffer = Napi::ArrayBuffer::New(
      info.Env(), mapping.ring(), 2 * mapping.ringBytes(), [](Napi::Env, void*, std::shared_ptr<channel::Reader>* held) { delete held; }, owner);
  buffer_ = Napi::Persistent(buffer);
  auto* frameOwner = new auto(found_);
  const auto frame = Napi::ArrayBuffer::New(
      info.Env(), found_->data(), sizeof *found_, [](Napi::Env, void*, decltype(found_)* held) { delete held; }, frameOwner);
  frame_ = Napi::Persistent(Napi::Uint32Array::New(info.Env(), found_->size(), frame, 0));
}

Napi::Value ChannelReaderFace::buffer(const Napi::CallbackInfo&) { return buffer_.Value(); }
Napi::Value ChannelReaderFace::frame(const Napi::CallbackInfo&) { return frame_.Value(); }

bool ChannelReaderFace::find(const Napi::Value& limit, channel::Message* message) {
  if (!reader_->peek(message)) {
    const auto most = microseconds(limit);
    if (most.count() <= 0 || !reader_->wait(most) || !reader_->peek(message)) return false;
  }
  const auto start = static_cast<uint32_t>(message->data - reader_->mapping().ring());
  *found_ = {start, start + static_cast<uint32_t>(message->bytes), message->tag};
  return true;
}

Napi::Value ChannelReaderFace::peek(const Napi::CallbackInfo& info) {
  channel::Message message;
  return boolean(info, find(info[0], &message));
}

Napi::Value ChannelReaderFace::takeScalar(const Napi::CallbackInfo& info) {
  channel::Message message;
  if (!find(info[0], &message)) return info.Env().Undefined();
  channel::Scalar scalar;
  if (message.tag != 0 || !channel::unpackScalar(message.data, message.bytes, &scalar)) return info.This();
  reader_->advance();
  reader_->acknowledge();
  return scalarTo(info.Env(), scalar);
}

Napi::Value ChannelReaderFace::advance(const Napi::CallbackInfo& info) {
  reader_->advance();
  if (info.Length() == 0 || info[0].ToBoolean()) reader_->acknowledge();
  return info.Env().Undefined();
}

Napi::Value ChannelReaderFace::acknowledge(const Napi::CallbackInfo& info) {
  reader_->acknowledge(uint32From(info[0], "messages"));
  return info.Env().Undefined();
}

Napi::Value ChannelReaderFace::wait(const Napi::CallbackInfo& info) { return boolean(info, reader_->wait(milliseconds(info[0]))); }
Napi::Value ChannelReaderFace::arm(const Napi::CallbackInfo& info) { return boolean(info, reader_->arm()); }

Napi::Value ChannelReaderFace::disarm(const Napi::CallbackInfo& info) {
  reader_->disarm();
  return info.Env().Undefined();
}

Napi::Value ChannelReaderFace::isClosed(const Napi::CallbackInfo& info) { return boolean(info, reader_->isClosed()); }
Napi::Value ChannelReaderFace::isWriterAlive(const Napi::CallbackInfo& info) { return boolean(info, reader_->isWriterAlive()); }
Napi::Value ChannelReaderFace::writerPid(const Napi::CallbackInfo& info) { return number(info, reader_->writerPid()); }

Napi::Value ChannelReaderFace::close(const Napi::CallbackInfo& info) {
  reader_->close();
  return info.Env().Undefined();
}

Napi::Function ChannelSetFace::define(Napi::Env env) {
  return DefineClass(env, "ChannelSet",
                     {InstanceMethod<&ChannelSetFace::wait>("wait"), InstanceMethod<&ChannelSetFace::arm>("arm"),
                      InstanceMethod<&ChannelSetFace::disarm>("disarm")});
}

ChannelSetFace::ChannelSetFace(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  tag<ChannelSetFace>(info);
  const auto readers = arrayFrom(info[0], "readers");
  for (uint32_t i = 0; i < readers.Length(); i++) {
    readers_.push_back(faceFrom<ChannelReaderFace>(readers.Get(i), "ChannelReader").reader());
    sleepers_.push_back(&readers_.back()->sleeper());
  }
}

bool ChannelSetFace::hasNews() const {
  for (const auto& reader : readers_) {
    if (reader->hasNews()) return true;
  }
  return false;
}

Napi::Value ChannelSetFace::wait(const Napi::CallbackInfo& info) {
  const auto ready = [this] { return hasNews(); };
  const auto limit = microseconds(info[0]);
  if (spinUntil(ready, std::min<std::chrono::nanoseconds>(limit, kAwake))) return boolean(info, true);
  sleepOnAny(sleepers_, ready, limit);
  return boolean(info, hasNews());
}

Napi::Value ChannelSetFace::arm(const Napi::CallbackInfo& info) {
  for (const auto& reader : readers_) {
    if (reader->arm()) continue;
    for (const auto& armed : readers_) armed->disarm();
    return boolean(info, false);
  }
  return boolean(info, true);
}

Napi::Value ChannelSetFace::disarm(const Napi::CallbackInfo& info) {
  for (const auto& reader : readers_) reader->disarm();
  return info.Env().Undefined();
}

}  // namespace troupe::addon
