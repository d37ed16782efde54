#include "addon/channel_binding.h"

#include "addon/bindings.h"
#include "channel/scalar.h"

namespace troupe::addon {
namespace {

std::chrono::nanoseconds microseconds(const Napi::Value& value) { return timeFrom(value, 1e3); }

std::chrono::nanoseconds milliseconds(const Napi::Value& value) { return timeFrom(value, 1e6); }

Napi::Value boolean(const Napi::CallbackInfo& info, bool value) { return Napi::Boolean::New(info.Env(), value); }

Napi::Value number(const Napi::CallbackInfo& info, double value) { return Napi::Number::New(info.Env(), value); }

/// The most bytes of messages and rings: their places are told by 32 bits.
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

std::shared_ptr<Waker> wakerOf(const Napi::Value& value) { return bindingFrom<WakerBinding>(value, "Waker").waker(); }

}  // namespace

Napi::Function WakerBinding::define(Napi::Env env) { return DefineClass(env, "Waker", {InstanceAccessor<&WakerBinding::fd>("fd")}); }

WakerBinding::WakerBinding(const Napi::CallbackInfo& info) : ObjectWrap(info), waker_(std::make_shared<Waker>()) {
  tag<WakerBinding>(info);
}

Napi::Value WakerBinding::fd(const Napi::CallbackInfo& info) { return number(info, waker_->readEnd()); }

Napi::Function ChannelWriterBinding::define(Napi::Env env) {
  return DefineClass(
      env, "ChannelWriter",
      {InstanceAccessor<&ChannelWriterBinding::handle>("handle"), InstanceAccessor<&ChannelWriterBinding::limit>("limit"),
       InstanceAccessor<&ChannelWriterBinding::written>("written"), InstanceAccessor<&ChannelWriterBinding::taken>("taken"),
       InstanceAccessor<&ChannelWriterBinding::hasReaders>("hasReaders"), InstanceMethod<&ChannelWriterBinding::write>("write"),
       InstanceMethod<&ChannelWriterBinding::writeScalar>("writeScalar"), InstanceMethod<&ChannelWriterBinding::hasRoom>("hasRoom"),
       InstanceMethod<&ChannelWriterBinding::arm>("arm"), InstanceMethod<&ChannelWriterBinding::wait>("wait"),
       InstanceMethod<&ChannelWriterBinding::checkReaders>("checkReaders"), InstanceMethod<&ChannelWriterBinding::close>("close")});
}

ChannelWriterBinding::ChannelWriterBinding(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  const auto options = objectFrom(info[0], "options");
  channel::Writer::Options chosen;
  chosen.messages = uint32From(options.Get("messages"), "messages");
  chosen.bytes = static_cast<size_t>(integerFrom(options.Get("bytes"), "bytes", 0, kMostRingBytes));
  chosen.readers = uint32From(options.Get("readers"), "readers");
  writer_ = std::make_unique<channel::Writer>(chosen, wakerOf(info[1]));
  tag<ChannelWriterBinding>(info);
}

Napi::Value ChannelWriterBinding::handle(const Napi::CallbackInfo& info) { return handleTo(info.Env(), writer_->handle()); }
Napi::Value ChannelWriterBinding::limit(const Napi::CallbackInfo& info) { return number(info, static_cast<double>(writer_->limit())); }
Napi::Value ChannelWriterBinding::written(const Napi::CallbackInfo& info) { return number(info, static_cast<double>(writer_->written())); }
Napi::Value ChannelWriterBinding::taken(const Napi::CallbackInfo& info) { return number(info, static_cast<double>(writer_->taken())); }
Napi::Value ChannelWriterBinding::hasReaders(const Napi::CallbackInfo& info) { return boolean(info, writer_->hasReaders()); }

// write(tag, ...pieces)
Napi::Value ChannelWriterBinding::write(const Napi::CallbackInfo& info) {
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

Napi::Value ChannelWriterBinding::writeScalar(const Napi::CallbackInfo& info) {
  channel::Scalar scalar;
  if (!scalarFrom(info.Env(), info[0], &scalar)) return info.Env().Undefined();
  uint8_t bytes[channel::kMostScalarBytes];
  const channel::Piece piece{bytes, channel::packScalar(scalar, bytes)};
  return boolean(info, writer_->write(0, &piece, 1));
}

Napi::Value ChannelWriterBinding::hasRoom(const Napi::CallbackInfo& info) { return boolean(info, writer_->hasRoom(size(info[0]))); }
Napi::Value ChannelWriterBinding::arm(const Napi::CallbackInfo& info) { return boolean(info, writer_->armForRoom(size(info[0]))); }

Napi::Value ChannelWriterBinding::wait(const Napi::CallbackInfo& info) {
  return boolean(info, writer_->waitForRoom(size(info[0]), milliseconds(info[1])));
}

Napi::Value ChannelWriterBinding::checkReaders(const Napi::CallbackInfo& info) {
  writer_->checkReaders();
  return info.Env().Undefined();
}

Napi::Value ChannelWriterBinding::close(const Napi::CallbackInfo& info) {
  writer_->close();
  return info.Env().Undefined();
}

Napi::Function ChannelReaderBinding::define(Napi::Env env) {
  return DefineClass(
      env, "ChannelReader",
      {InstanceAccessor<&ChannelReaderBinding::buffer>("buffer"), InstanceAccessor<&ChannelReaderBinding::frame>("frame"),
       InstanceMethod<&ChannelReaderBinding::peek>("peek"), InstanceMethod<&ChannelReaderBinding::takeScalar>("takeScalar"),
       InstanceMethod<&ChannelReaderBinding::advance>("advance"), InstanceMethod<&ChannelReaderBinding::acknowledge>("acknowledge"),
       InstanceMethod<&ChannelReaderBinding::wait>("wait"), InstanceMethod<&ChannelReaderBinding::arm>("arm"),
       InstanceMethod<&ChannelReaderBinding::disarm>("disarm"), InstanceAccessor<&ChannelReaderBinding::isClosed>("isClosed"),
       InstanceAccessor<&ChannelReaderBinding::isWriterAlive>("isWriterAlive"),
       InstanceAccessor<&ChannelReaderBinding::writerPid>("writerPid"), InstanceMethod<&ChannelReaderBinding::close>("close")});
}

ChannelReaderBinding::ChannelReaderBinding(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  reader_ = std::make_shared<channel::Reader>(handleFrom(objectFrom(info[0], "handle")), uint32From(info[1], "index"), wakerOf(info[2]));
  tag<ChannelReaderBinding>(info);
  auto* owner = new std::shared_ptr<channel::Reader>(reader_);
  const auto& mapping = reader_->mapping();
  const auto buffer = Napi::ArrayBuffer::New(
      info.Env(), mapping.ring(), 2 * mapping.ringBytes(), [](Napi::Env, void*, std::shared_ptr<channel::Reader>* held) { delete held; },
      owner);
  buffer_ = Napi::Persistent(buffer);
  auto* frameOwner = new auto(found_);
  const auto frame = Napi::ArrayBuffer::New(
      info.Env(), found_->data(), sizeof *found_, [](Napi::Env, void*, decltype(found_)* held) { delete held; }, frameOwner);
  frame_ = Napi::Persistent(Napi::Uint32Array::New(info.Env(), found_->size(), frame, 0));
}

Napi::Value ChannelReaderBinding::buffer(const Napi::CallbackInfo&) { return buffer_.Value(); }
Napi::Value ChannelReaderBinding::frame(const Napi::CallbackInfo&) { return frame_.Value(); }

bool ChannelReaderBinding::find(const Napi::Value& limit, channel::Message* message) {
  if (!reader_->peek(message)) {
    const auto most = microseconds(limit);
    if (most.count() <= 0 || !reader_->wait(most) || !reader_->peek(message)) return false;
  }
  const auto start = static_cast<uint32_t>(message->data - reader_->mapping().ring());
  *found_ = {start, start + static_cast<uint32_t>(message->bytes), message->tag};
  return true;
}

Napi::Value ChannelReaderBinding::peek(const Napi::CallbackInfo& info) {
  channel::Message message;
  return boolean(info, find(info[0], &message));
}

Napi::Value ChannelReaderBinding::takeScalar(const Napi::CallbackInfo& info) {
  channel::Message message;
  if (!find(info[0], &message)) return info.Env().Undefined();
  channel::Scalar scalar;
  if (message.tag != 0 || !channel::unpackScalar(message.data, message.bytes, &scalar)) return info.This();
  reader_->advance();
  reader_->acknowledge();
  return scalarTo(info.Env(), scalar);
}

Napi::Value ChannelReaderBinding::advance(const Napi::CallbackInfo& info) {
  reader_->advance();
  if (info.Length() == 0 || info[0].ToBoolean()) reader_->acknowledge();
  return info.Env().Undefined();
}

Napi::Value ChannelReaderBinding::acknowledge(const Napi::CallbackInfo& info) {
  reader_->acknowledge(uint32From(info[0], "messages"));
  return info.Env().Undefined();
}

Napi::Value ChannelReaderBinding::wait(const Napi::CallbackInfo& info) { return boolean(info, reader_->wait(milliseconds(info[0]))); }
Napi::Value ChannelReaderBinding::arm(const Napi::CallbackInfo& info) { return boolean(info, reader_->arm()); }

Napi::Value ChannelReaderBinding::disarm(const Napi::CallbackInfo& info) {
  reader_->disarm();
  return info.Env().Undefined();
}

Napi::Value ChannelReaderBinding::isClosed(const Napi::CallbackInfo& info) { return boolean(info, reader_->isClosed()); }
Napi::Value ChannelReaderBinding::isWriterAlive(const Napi::CallbackInfo& info) { return boolean(info, reader_->isWriterAlive()); }
Napi::Value ChannelReaderBinding::writerPid(const Napi::CallbackInfo& info) { return number(info, reader_->writerPid()); }

Napi::Value ChannelReaderBinding::close(const Napi::CallbackInfo& info) {
  reader_->close();
  return info.Env().Undefined();
}

Napi::Function ChannelSetBinding::define(Napi::Env env) {
  return DefineClass(env, "ChannelSet",
                     {InstanceMethod<&ChannelSetBinding::wait>("wait"), InstanceMethod<&ChannelSetBinding::arm>("arm"),
                      InstanceMethod<&ChannelSetBinding::disarm>("disarm")});
}

ChannelSetBinding::ChannelSetBinding(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  tag<ChannelSetBinding>(info);
  const auto items = arrayFrom(info[0], "readers");
  std::vector<std::shared_ptr<channel::Reader>> readers;
  for (uint32_t i = 0; i < items.Length(); i++)
    readers.push_back(bindingFrom<ChannelReaderBinding>(items.Get(i), "ChannelReader").reader());
  readers_ = std::make_unique<channel::ReaderSet>(std::move(readers));
}

Napi::Value ChannelSetBinding::wait(const Napi::CallbackInfo& info) { return boolean(info, readers_->wait(microseconds(info[0]))); }
Napi::Value ChannelSetBinding::arm(const Napi::CallbackInfo& info) { return boolean(info, readers_->arm()); }

Napi::Value ChannelSetBinding::disarm(const Napi::CallbackInfo& info) {
  readers_->disarm();
  return info.Env().Undefined();
}

}  // namespace troupe::addon
