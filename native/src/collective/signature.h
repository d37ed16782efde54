#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace troupe::collective {

/// The element types that collectives move; all but UInt8, which stands for bytes, can be reduced.
enum class DataType : uint8_t { UInt8, Int8, Int32, Int64, Float16, BFloat16, Float32 };
constexpr int kDataTypes = 7;

/// How the ranks' values become one. Sums and products of integers wrap around; an average of integers is rounded
/// towards zero; a minimum or maximum with a NaN is NaN.
enum class Reduction : uint8_t { Sum, Product, Minimum, Maximum, Average };
constexpr int kReductions = 5;

enum class OperationKind : uint8_t {
  AllReduce = 1,
  ReduceScatter,
  AllGather,
  Broadcast,
  Reduce,
  AllToAll,
  Gather,
  Scatter,
  Barrier,
  PointToPoint
};

inline size_t bytesOf(DataType type) {
  switch (type) {
    case DataType::UInt8:
    case DataType::Int8: return 1;
    case DataType::Float16:
    case DataType::BFloat16: return 2;
    case DataType::Int32:
    case DataType::Float32: return 4;
    case DataType::Int64: return 8;
  }
  return 1;
}

/// The parts of an operation that all ranks must agree on. It travels with the data, so that ranks that disagree find out.
struct Signature {
  OperationKind kind = OperationKind::Barrier;
  DataType type = DataType::UInt8;
  Reduction reduction = Reduction::Sum;
  uint8_t device = 0;   // 1 if the tensors are on GPUs
  int32_t root = -1;    // of operations that have one
  uint64_t bytes = 0;   // of the whole operation
  uint64_t layout = 0;  // a hash of how those are divided among the ranks, where ranks may have different shares

  bool operator==(const Signature& other) const {
    return kind == other.kind && type == other.type && reduction == other.reduction && device == other.device && root == other.root &&
           bytes == other.bytes && layout == other.layout;
  }
  bool operator!=(const Signature& other) const { return !(*this == other); }
};

/// For errors, e.g. "all-reduce (sum) of 10 float32".
std::string describe(const Signature& signature);

/// A hash of the ranks' shares, for Signature::layout.
uint64_t layoutOf(const size_t* bytes, int size);

}  // namespace troupe::collective
