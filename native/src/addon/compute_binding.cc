#include <stdexcept>

#include "addon/bindings.h"
#include "program/compute.h"

namespace troupe::addon {
namespace {

using program::Value;

/// Memory with elements of one type, and the file that it may be part of.
struct Operand {
  Value value;
  std::shared_ptr<Storage> storage;
};

// {type, elements, offset, storage}
Operand operandFrom(const Napi::Value& item) {
  const auto object = objectFrom(item, "an operand");
  Operand operand{{}, bindingFrom<StorageBinding>(object.Get("storage"), "Storage").storage()};
  if (!operand.storage) throw Napi::Error::New(item.Env(), "this tensor was released");
  if (operand.storage->gpu()) throw Napi::TypeError::New(item.Env(), "expected an operand in host memory, found one on a GPU");
  Value& value = operand.value;
  value.type = dataTypeFrom(object.Get("type"));
  value.rows = static_cast<size_t>(integerFrom(object.Get("elements"), "elements", 0, INT32_MAX));
  value.columns = 1;
  if (kernel::isQuantized(value.type)) throw Napi::TypeError::New(item.Env(), "an operand: expected numbers that are not quantized");
  const size_t offset = bytesFrom(object.Get("offset"), "offset");
  if (offset > operand.storage->bytes() || value.bytes() > operand.storage->bytes() - offset)
    throw Napi::RangeError::New(item.Env(), "an operand does not fit its memory");
  if (offset % kernel::rowBytes(value.type, 1) != 0)
    throw Napi::RangeError::New(item.Env(), "an operand does not begin at a multiple of its elements' bytes");
  value.data = operand.storage->data() + offset;
  return operand;
}

void expectUnchanged(const Operand& operand) {
  if (const auto file = operand.storage->file()) file->expectUnchanged();
}

}  // namespace

std::vector<int64_t> geometryFrom(const Napi::Value& value) {
  constexpr int64_t kMost = int64_t{1} << 53;
  std::vector<int64_t> numbers;
  if (value.IsUndefined()) return numbers;
  const auto list = arrayFrom(value, "geometry");
  numbers.reserve(list.Length());
  for (uint32_t i = 0; i < list.Length(); i++) numbers.push_back(integerFrom(list.Get(i), "geometry", -kMost, kMost));
  return numbers;
}

// compute(name, geometry, inputs, output)
Napi::Value compute(const Napi::CallbackInfo& info) {
  program::Node node{textFrom(info[0], "the name of an operation"), {}, {}, {}, geometryFrom(info[1])};
  std::vector<Operand> inputs;
  const auto list = arrayFrom(info[2], "inputs");
  for (uint32_t i = 0; i < list.Length(); i++) inputs.push_back(operandFrom(list.Get(i)));
  const Operand output = operandFrom(info[3]);
  for (const auto& input : inputs) node.inputs.push_back(&input.value);
  node.outputs.push_back(&output.value);
  try {
    for (const auto& input : inputs) expectUnchanged(input);
    output.storage->populate(static_cast<size_t>(output.value.data - output.storage->data()), output.value.bytes());
    program::compute(node);
    for (const auto& input : inputs) expectUnchanged(input);
  } catch (const std::invalid_argument& error) {
    throw Napi::TypeError::New(info.Env(), error.what());
  } catch (const std::out_of_range& error) {
    throw Napi::RangeError::New(info.Env(), error.what());
  }
  return info.Env().Undefined();
}

}  // namespace troupe::addon
