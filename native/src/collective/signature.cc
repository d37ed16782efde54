#include "collective/signature.h"

namespace troupe::collective {
namespace {

const char* nameOf(OperationKind kind) {
  switch (kind) {
    case OperationKind::AllReduce: return "all-reduce";
    case OperationKind::ReduceScatter: return "reduce-scatter";
    case OperationKind::AllGather: return "all-gather";
    case OperationKind::Broadcast: return "broadcast";
    case OperationKind::Reduce: return "reduce";
    case OperationKind::AllToAll: return "all-to-all";
    case OperationKind::Gather: return "gather";
    case OperationKind::Scatter: return "scatter";
    case OperationKind::Barrier: return "barrier";
    case OperationKind::PointToPoint: return "message";
  }
  return "unknown operation";
}

const char* nameOf(DataType type) {
  switch (type) {
    case DataType::UInt8: return "uint8";
    case DataType::Int8: return "int8";
    case DataType::Int32: return "int32";
    case DataType::Int64: return "int64";
    case DataType::Float16: return "float16";
    case DataType::BFloat16: return "bfloat16";
    case DataType::Float32: return "float32";
  }
  return "unknown type";
}

const char* nameOf(Reduction reduction) {
  switch (reduction) {
    case Reduction::Sum: return "sum";
    case Reduction::Product: return "product";
    case Reduction::Minimum: return "min";
    case Reduction::Maximum: return "max";
    case Reduction::Average: return "average";
  }
  return "unknown reduction";
}

bool reduces(OperationKind kind) {
  return kind == OperationKind::AllReduce || kind == OperationKind::ReduceScatter || kind == OperationKind::Reduce;
}

}  // namespace

std::string describe(const Signature& signature) {
  if (signature.kind == OperationKind::Barrier) return "barrier";
  std::string text = nameOf(signature.kind);
  if (reduces(signature.kind)) text += std::string(" (") + nameOf(signature.reduction) + ")";
  if (signature.root >= 0) text += " with root " + std::to_string(signature.root);
  // The ranks of an all-to-all know only their own shares, which are checked one by one.
  if (signature.kind == OperationKind::AllToAll) return text + " of " + nameOf(signature.type);
  return text + " of " + std::to_string(signature.bytes / bytesOf(signature.type)) + " " + nameOf(signature.type);
}

// FNV-1a, a number at a time.
uint64_t layoutOf(const size_t* bytes, int size) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (int rank = 0; rank < size; rank++) hash = (hash ^ bytes[rank]) * 0x100000001b3u;
  return hash;
}

}  // namespace troupe::collective
