#include "collective/nccl/library.h"

#include <stdexcept>

#include "device/library.h"

namespace troupe::collective::nccl {
namespace {

constexpr int kOldest = 21800;

Library load() {
  Library nccl{};
  try {
    const troupe::Library library("TROUPE_NCCL", "libnccl.so.2");
    library.find(nccl.ncclGetVersion, "ncclGetVersion");
    if (nccl.ncclGetVersion(&nccl.version) != kSuccess || nccl.version < kOldest) {
      throw std::runtime_error("it is version " + versionText(nccl.version) + "; expected " + versionText(kOldest) + " or later");
    }
#define TROUPE_FIND(name) library.find(nccl.name, #name)
    TROUPE_FIND(ncclGetUniqueId);
    TROUPE_FIND(ncclCommInitRankConfig);
    TROUPE_FIND(ncclCommSplit);
    TROUPE_FIND(ncclCommFinalize);
    TROUPE_FIND(ncclCommDestroy);
    TROUPE_FIND(ncclCommAbort);
    TROUPE_FIND(ncclCommGetAsyncError);
    library.find(nccl.ncclCommRegister, "ncclCommRegister", true);
    library.find(nccl.ncclCommDeregister, "ncclCommDeregister", true);
    TROUPE_FIND(ncclGetErrorString);
    TROUPE_FIND(ncclGetLastError);
    TROUPE_FIND(ncclGroupStart);
    TROUPE_FIND(ncclGroupEnd);
    TROUPE_FIND(ncclAllReduce);
    TROUPE_FIND(ncclReduce);
    TROUPE_FIND(ncclReduceScatter);
    TROUPE_FIND(ncclAllGather);
    TROUPE_FIND(ncclBroadcast);
    TROUPE_FIND(ncclSend);
    TROUPE_FIND(ncclRecv);
#undef TROUPE_FIND
  } catch (const std::exception& error) {
    throw std::runtime_error(std::string("operations on GPU tensors need NCCL 2.18 or later: ") + error.what());
  }
  return nccl;
}

}  // namespace

const Library& Library::get() {
  static const Library library = load();
  return library;
}

std::string Library::textOf(int result, CommHandle comm) const {
  std::string text = "NCCL " + versionText(version) + ": " + ncclGetErrorString(result);
  const char* last = ncclGetLastError(comm);
  if (last != nullptr && *last != '\0') text += std::string(" (") + last + ")";
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  return text;
}

std::string versionText(int version) {
  return std::to_string(version / 10000) + "." + std::to_string(version / 100 % 100) + "." + std::to_string(version % 100);
}

int typeOf(DataType type) {
  switch (type) {
    case DataType::Int8: return 0;
    case DataType::UInt8: return 1;
    case DataType::Int32: return 2;
    case DataType::Int64: return 4;
    case DataType::Float16: return 6;
    case DataType::Float32: return 7;
    case DataType::BFloat16: return 9;
  }
  return 1;
}

int operationOf(Reduction reduction) {
  switch (reduction) {
    case Reduction::Sum: return 0;
    case Reduction::Product: return 1;
    case Reduction::Maximum: return 2;
    case Reduction::Minimum: return 3;
    case Reduction::Average: return 4;
  }
  return 0;
}

}  // namespace troupe::collective::nccl
