#include "addon/faces.h"

namespace troupe::addon {
namespace {

using program::Program;
using program::Value;

kernel::DataType dataTypeFrom(const Napi::Value& value) {
  static const std::map<std::string, kernel::DataType> types{
      {"float32", kernel::DataType::Float32}, {"float16", kernel::DataType::Float16}, {"bfloat16", kernel::DataType::BFloat16},
      {"int32", kernel::DataType::Int32},     {"int8", kernel::DataType::Int8},       {"q8_0", kernel::DataType::Q8_0},       {"q4_0", kernel::DataType::Q4_0},
      {"q4_1", kernel::DataType::Q4_1},       {"q5_0", kernel::DataType::Q5_0},       {"q5_1", kernel::DataType::Q5_1},
      {"q4_k", kernel::DataType::Q4_K},       {"q5_k", kernel::DataType::Q5_K},       {"q6_k", kernel::DataType::Q6_K},
  };
  const std::string name = value.ToString().Utf8Value();
  if (const auto found = types.find(name); found != types.end()) return found->second;
  throw Napi::TypeError::New(value.Env(), "a program has no values of type " + name);
}

size_t sizeFrom(const Napi::Value& value) { return static_cast<size_t>(value.As<Napi::Number>().DoubleValue()); }

template <class Each>
void forEach(const Napi::Value& list, Each&& each) {
  const auto array = list.As<Napi::Array>();
  for (uint32_t i = 0; i < array.Length(); i++) each(array.Get(i));
}

std::vector<int> indicesFrom(const Napi::Value& list) {
  std::vector<int> indices;
  forEach(list, [&](const Napi::Value& index) { indices.push_back(index.As<Napi::Number>().Int32Value()); });
  return indices;
}

// {symbols: [{name, limit}], values: [{type, symbol, rows, columns, offset, storage?}], arenaBytes, operations: [{name,
// inputs, outputs, numbers, group}], groups: [Communicator]}; values of a storage lie in it at `offset`, others in the arena.
Program::Description descriptionFrom(const Napi::Object& object) {
  Program::Description description;
  forEach(object.Get("symbols"), [&](const Napi::Value& item) {
    const auto symbol = item.As<Napi::Object>();
    description.symbols.push_back(symbol.Get("name").ToString().Utf8Value());
    description.limits.push_back(sizeFrom(symbol.Get("limit")));
  });
  forEach(object.Get("values"), [&](const Napi::Value& item) {
    const auto traced = item.As<Napi::Object>();
    Value value;
    value.type = dataTypeFrom(traced.Get("type"));
    value.symbol = traced.Get("symbol").As<Napi::Number>().Int32Value();
    value.rows = sizeFrom(traced.Get("rows"));
    value.columns = sizeFrom(traced.Get("columns"));
    const size_t offset = sizeFrom(traced.Get("offset")), bytes = value.rows * rowBytes(value.type, value.columns);
    const auto held = traced.Get("storage");
    const size_t available = held.IsObject() ? StorageFace::Unwrap(held.As<Napi::Object>())->storage()->bytes() : sizeFrom(object.Get("arenaBytes"));
    if (offset + bytes > available) throw Napi::RangeError::New(object.Env(), "a program's value does not fit its memory");
    if (held.IsObject()) {
      const auto& storage = StorageFace::Unwrap(held.As<Napi::Object>())->storage();
      value.data = storage->data() + offset;
      description.storages.push_back(storage);
    }
    description.values.push_back(value);
    description.arenaOffsets.push_back(offset);
  });
  description.arenaBytes = sizeFrom(object.Get("arenaBytes"));
  forEach(object.Get("operations"), [&](const Napi::Value& item) {
    const auto traced = item.As<Napi::Object>();
    Program::Description::Operation operation;
    operation.name = traced.Get("name").ToString().Utf8Value();
    operation.inputs = indicesFrom(traced.Get("inputs"));
    operation.outputs = indicesFrom(traced.Get("outputs"));
    operation.group = traced.Get("group").As<Napi::Number>().Int32Value();
    const auto numbers = traced.Get("numbers").As<Napi::Object>();
    forEach(numbers.GetPropertyNames(), [&](const Napi::Value& key) {
      operation.numbers[key.ToString().Utf8Value()] = numbers.Get(key).As<Napi::Number>().DoubleValue();
    });
    description.operations.push_back(operation);
  });
  forEach(object.Get("groups"), [&](const Napi::Value& item) {
    description.groups.push_back(CommunicatorFace::Unwrap(item.As<Napi::Object>())->communicator());
  });
  return description;
}

}  // namespace

Napi::Function ProgramFace::define(Napi::Env env) {
  return DefineClass(env, "Program",
                     {InstanceAccessor<&ProgramFace::arena>("arena"), InstanceMethod<&ProgramFace::run>("run"),
                      InstanceAccessor<&ProgramFace::statistics>("statistics"),
                      InstanceMethod<&ProgramFace::cancel>("cancel")});
}

ProgramFace::ProgramFace(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  Program::Cores cores{0, 0};
  if (info[2].IsObject()) {
    const auto given = info[2].As<Napi::Object>();
    cores = {given.Get("first").As<Napi::Number>().Int32Value(), given.Get("all").As<Napi::Number>().Int32Value()};
  }
  program_ = std::make_unique<Program>(descriptionFrom(info[0].As<Napi::Object>()), info[1].As<Napi::Number>().Int32Value(), cores);
  thread_ = std::make_unique<WorkerThread>(info.Env(), "troupe program", [this] { program_->cancel("the program was released"); });
}

Napi::Value ProgramFace::arena(const Napi::CallbackInfo& info) {
  if (arena_.IsEmpty()) arena_ = Napi::Persistent(bufferOver(info.Env(), program_->arena()));
  return arena_.Value();
}

Napi::Value ProgramFace::run(const Napi::CallbackInfo& info) {
  std::vector<size_t> symbols;
  forEach(info[0], [&](const Napi::Value& value) { symbols.push_back(sizeFrom(value)); });
  return thread_->run(info.Env(), info.This().As<Napi::Object>(), [this, symbols] { program_->run(symbols); });
}

Napi::Value ProgramFace::statistics(const Napi::CallbackInfo& info) {
  const auto [busy, waiting, transfer] = program_->statistics();
  const auto milliseconds = [](int64_t nanoseconds) { return static_cast<double>(nanoseconds) / 1e6; };
  auto found = Napi::Object::New(info.Env());
  found["busy"] = milliseconds(busy);
  found["waiting"] = milliseconds(waiting);
  found["transfer"] = milliseconds(transfer);
  return found;
}

Napi::Value ProgramFace::cancel(const Napi::CallbackInfo& info) {
  program_->cancel(info[0].ToString().Utf8Value());
  return info.Env().Undefined();
}

}  // namespace troupe::addon
