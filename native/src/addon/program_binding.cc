#include "addon/bindings.h"
#include "program/schema.h"

namespace troupe::addon {

kernel::DataType dataTypeFrom(const Napi::Value& value) {
  static const std::map<std::string, kernel::DataType> types{
      {"float32", kernel::DataType::Float32}, {"float16", kernel::DataType::Float16}, {"bfloat16", kernel::DataType::BFloat16},
      {"int32", kernel::DataType::Int32},     {"int8", kernel::DataType::Int8},       {"uint8", kernel::DataType::Uint8},
      {"int64", kernel::DataType::Int64},     {"bool", kernel::DataType::Bool},       {"q8_0", kernel::DataType::Q8_0},
      {"q4_0", kernel::DataType::Q4_0},       {"q4_1", kernel::DataType::Q4_1},       {"q5_0", kernel::DataType::Q5_0},
      {"q5_1", kernel::DataType::Q5_1},       {"q4_k", kernel::DataType::Q4_K},       {"q5_k", kernel::DataType::Q5_K},
      {"q6_k", kernel::DataType::Q6_K},
  };
  const std::string name = value.ToString().Utf8Value();
  if (const auto found = types.find(name); found != types.end()) return found->second;
  throw Napi::TypeError::New(value.Env(), "a program has no values of type " + name);
}

namespace {

using program::Program;
using program::Value;

constexpr int64_t kMostRows = INT32_MAX;

template <class Each>
void forEach(const Napi::Value& list, const char* what, Each&& each) {
  const auto array = arrayFrom(list, what);
  for (uint32_t i = 0; i < array.Length(); i++) each(array.Get(i));
}

std::vector<int> indicesFrom(const Napi::Value& list, const char* what) {
  std::vector<int> indices;
  forEach(list, what, [&](const Napi::Value& index) { indices.push_back(intFrom(index, what)); });
  return indices;
}

std::map<std::string, double> numbersFrom(const Napi::Value& value) {
  std::map<std::string, double> found;
  const auto numbers = objectFrom(value, "numbers");
  forEach(numbers.GetPropertyNames(), "numbers", [&](const Napi::Value& key) {
    const std::string name = key.ToString().Utf8Value();
    found[name] = numberFrom(numbers.Get(key), name.c_str());
  });
  return found;
}

/// A value but for its memory.
Value shapeFrom(const Napi::Object& traced) {
  Value value;
  value.type = dataTypeFrom(traced.Get("type"));
  value.symbol = intFrom(traced.Get("symbol"), "symbol", Value::kFixed);
  value.rows = static_cast<size_t>(integerFrom(traced.Get("rows"), "rows", 0, kMostRows));
  value.columns = static_cast<size_t>(integerFrom(traced.Get("columns"), "columns", 1, kMostRows));
  value.isPacked = traced.Get("isPacked").ToBoolean();
  return value;
}

// {symbols: [{name, limit}], values: [{type, symbol, rows, columns, isPacked?, offset, storage?}], arenaBytes, operations: [{name,
// inputs, outputs, numbers, group}], groups: [Communicator]}; values of a storage lie in it at `offset`, others in the arena.
Program::Description descriptionFrom(const Napi::Object& object) {
  Program::Description description;
  forEach(object.Get("symbols"), "symbols", [&](const Napi::Value& item) {
    const auto symbol = objectFrom(item, "a symbol");
    description.symbols.push_back(textFrom(symbol.Get("name"), "the name of a symbol"));
    description.limits.push_back(static_cast<size_t>(integerFrom(symbol.Get("limit"), "the limit of a symbol", 0, kMostRows)));
  });
  description.arenaBytes = bytesFrom(object.Get("arenaBytes"), "arenaBytes");
  forEach(object.Get("values"), "values", [&](const Napi::Value& item) {
    const auto traced = objectFrom(item, "a value");
    Value value = shapeFrom(traced);
    const size_t offset = bytesFrom(traced.Get("offset"), "offset");
    if (const auto held = traced.Get("storage"); !held.IsUndefined()) {
      const auto& storage = bindingFrom<StorageBinding>(held, "Storage").storage();
      if (!storage) throw Napi::Error::New(object.Env(), "a program's value lies in a storage that was released");
      if (storage->gpu()) throw Napi::TypeError::New(object.Env(), "a program computes in host memory; found a value in memory of a GPU");
      if (offset > storage->bytes() || value.bytes() > storage->bytes() - offset) {
        throw Napi::RangeError::New(object.Env(), "a program's value does not fit its memory");
      }
      value.data = storage->data() + offset;
      description.storages.push_back(storage);
    }
    description.values.push_back(value);
    description.arenaOffsets.push_back(offset);
  });
  forEach(object.Get("operations"), "operations", [&](const Napi::Value& item) {
    const auto traced = objectFrom(item, "an operation");
    description.operations.push_back({textFrom(traced.Get("name"), "the name of an operation"), indicesFrom(traced.Get("inputs"), "inputs"),
                                      indicesFrom(traced.Get("outputs"), "outputs"), numbersFrom(traced.Get("numbers")),
                                      geometryFrom(traced.Get("geometry")), intFrom(traced.Get("group"), "group", -1),
                                      traced.Get("isElsewhere").ToBoolean()});
  });
  forEach(object.Get("groups"), "groups", [&](const Napi::Value& item) {
    description.groups.push_back(bindingFrom<CommunicatorBinding>(item, "Communicator").communicator());
  });
  return description;
}

/// Says a fault of a description, or of an index in a run, as the class of error that JavaScript has for it.
template <class Body>
auto asTypeError(Napi::Env env, Body&& body) {
  try {
    return body();
  } catch (const std::invalid_argument& error) {
    throw Napi::TypeError::New(env, error.what());
  }
}

}  // namespace

Napi::Function ProgramBinding::define(Napi::Env env) {
  return DefineClass(env, "Program",
                     {InstanceAccessor<&ProgramBinding::arena>("arena"), InstanceMethod<&ProgramBinding::check>("check"),
                      InstanceMethod<&ProgramBinding::run>("run"), InstanceAccessor<&ProgramBinding::statistics>("statistics"),
                      InstanceMethod<&ProgramBinding::profile>("profile"), InstanceMethod<&ProgramBinding::cancel>("cancel")});
}

ProgramBinding::ProgramBinding(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  tag<ProgramBinding>(info);
  Program::Cores cores{0, 0};
  if (!info[2].IsUndefined()) {
    const auto given = objectFrom(info[2], "cores");
    cores = {intFrom(given.Get("first"), "first"), intFrom(given.Get("all"), "all")};
  }
  auto description = descriptionFrom(objectFrom(info[0], "a program's description"));
  const int threads = intFrom(info[1], "threads", 1, kMostThreads);
  program_ = asTypeError(info.Env(), [&] { return std::make_unique<Program>(std::move(description), threads, cores); });
  thread_ = std::make_unique<WorkerThread>(info.Env(), "troupe program", [this] { program_->cancel("the program was released"); });
}

// checkOperation({name, inputs: [value], outputs: [value], numbers, ranks?, rank?}, symbols: string[])
Napi::Value checkOperation(const Napi::CallbackInfo& info) {
  const auto traced = objectFrom(info[0], "an operation");
  std::vector<std::string> symbols;
  forEach(info[1], "symbols", [&](const Napi::Value& name) { symbols.push_back(textFrom(name, "a symbol")); });
  const auto shapes = [&](const char* key) {
    std::vector<Value> values;
    forEach(traced.Get(key), key, [&](const Napi::Value& item) {
      values.push_back(shapeFrom(objectFrom(item, key)));
      if (values.back().symbol >= static_cast<int>(symbols.size())) throw Napi::RangeError::New(info.Env(), "there is no such symbol");
    });
    return values;
  };
  const auto inputs = shapes("inputs"), outputs = shapes("outputs");
  program::Node node{textFrom(traced.Get("name"), "name"), {},      {},      numbersFrom(traced.Get("numbers")),
                     geometryFrom(traced.Get("geometry")), nullptr, &symbols};
  for (const auto& value : inputs) node.inputs.push_back(&value);
  for (const auto& value : outputs) node.outputs.push_back(&value);
  const bool hasGroup = !traced.Get("ranks").IsUndefined();
  const int ranks = hasGroup ? intFrom(traced.Get("ranks"), "ranks", 1) : 0,
            rank = hasGroup ? intFrom(traced.Get("rank"), "rank", 0, ranks - 1) : 0;
  asTypeError(info.Env(), [&] { program::checkOperation(node, static_cast<size_t>(ranks), static_cast<size_t>(rank)); });
  return info.Env().Undefined();
}

Napi::Value ProgramBinding::arena(const Napi::CallbackInfo& info) {
  if (arena_.IsEmpty()) arena_ = Napi::Persistent(bufferOver(info.Env(), program_->arena()));
  return arena_.Value();
}

static std::vector<size_t> symbolsFrom(const Napi::Value& list) {
  std::vector<size_t> symbols;
  forEach(list, "symbols",
          [&](const Napi::Value& value) { symbols.push_back(static_cast<size_t>(integerFrom(value, "a symbol", 0, kMostRows))); });
  return symbols;
}

Napi::Value ProgramBinding::check(const Napi::CallbackInfo& info) {
  const auto symbols = symbolsFrom(info[0]);
  try {
    program_->check(symbols);
  } catch (const std::out_of_range& error) {
    throw Napi::RangeError::New(info.Env(), error.what());
  } catch (const std::invalid_argument& error) {
    throw Napi::RangeError::New(info.Env(), error.what());
  }
  return info.Env().Undefined();
}

Napi::Value ProgramBinding::run(const Napi::CallbackInfo& info) {
  const size_t begin = info[1].IsUndefined() ? 0 : static_cast<size_t>(integerFrom(info[1], "begin", 0, kMostRows)),
               end = info[2].IsUndefined() ? kMostRows : static_cast<size_t>(integerFrom(info[2], "end", 0, kMostRows));
  return thread_->run(info.Env(), info.This().As<Napi::Object>(),
                      [this, symbols = symbolsFrom(info[0]), begin, end] { program_->run(symbols, begin, end); });
}

Napi::Value ProgramBinding::statistics(const Napi::CallbackInfo& info) {
  const auto [busy, waiting, transfer] = program_->statistics();
  const auto milliseconds = [](int64_t nanoseconds) { return static_cast<double>(nanoseconds) / 1e6; };
  auto found = Napi::Object::New(info.Env());
  found["busy"] = milliseconds(busy);
  found["waiting"] = milliseconds(waiting);
  found["transfer"] = milliseconds(transfer);
  return found;
}

Napi::Value ProgramBinding::profile(const Napi::CallbackInfo& info) {
  auto list = Napi::Array::New(info.Env());
  for (const auto& spent : program_->profile()) {
    auto found = Napi::Object::New(info.Env());
    found["operation"] = spent.operation;
    found["columnsIn"] = static_cast<double>(spent.columnsIn);
    found["columnsOut"] = static_cast<double>(spent.columnsOut);
    found["milliseconds"] = static_cast<double>(spent.nanoseconds) / 1e6;
    found["bytes"] = static_cast<double>(spent.bytes);
    list[list.Length()] = found;
  }
  return list;
}

Napi::Value ProgramBinding::cancel(const Napi::CallbackInfo& info) {
  program_->cancel(info[0].ToString().Utf8Value());
  return info.Env().Undefined();
}

}  // namespace troupe::addon
