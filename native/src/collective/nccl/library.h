#pragma once

#include <climits>
#include <cstddef>
#include <string>

#include "collective/signature.h"
#include "device/cuda.h"

namespace troupe::collective::nccl {

/// The parts of NCCL's interface that are used, under its own names, values and types (nccl.h of NCCL 2.18, Apache-2.0, and
/// "NCCL API" by NVIDIA, https://docs.nvidia.com/deeplearning/nccl). Declared here so that building needs no NCCL.
using CommHandle = struct ncclComm*;

struct UniqueId {
  char internal[128];
};

enum Result { kSuccess = 0, kInProgress = 7 };

/// ncclConfig_t as of NCCL 2.18; newer libraries take it by its size and version.
struct Config {
  size_t size = sizeof(Config);
  unsigned magic = 0xcafebeef;
  unsigned version = 21800;
  int blocking = 0;
  int cgaClusterSize = INT_MIN;  // INT_MIN and null stand for "not set"
  int minCTAs = INT_MIN;
  int maxCTAs = INT_MIN;
  const char* netName = nullptr;
  int splitShare = INT_MIN;
  int trafficClass = INT_MIN;  // takes the place of padding in 2.18
};

struct Library {
  int (*ncclGetVersion)(int* version);
  int (*ncclGetUniqueId)(UniqueId* id);
  int (*ncclCommInitRankConfig)(CommHandle* comm, int size, UniqueId id, int rank, Config* config);
  int (*ncclCommSplit)(CommHandle comm, int color, int key, CommHandle* part, Config* config);
  int (*ncclCommFinalize)(CommHandle comm);
  int (*ncclCommDestroy)(CommHandle comm);
  int (*ncclCommAbort)(CommHandle comm);
  int (*ncclCommGetAsyncError)(CommHandle comm, int* state);
  int (*ncclCommRegister)(CommHandle comm, void* memory, size_t bytes, void** handle);  // from 2.19 on, else null
  int (*ncclCommDeregister)(CommHandle comm, void* handle);
  const char* (*ncclGetErrorString)(int result);
  const char* (*ncclGetLastError)(CommHandle comm);
  int (*ncclGroupStart)();
  int (*ncclGroupEnd)();
  int (*ncclAllReduce)(const void* in, void* out, size_t count, int type, int op, CommHandle comm, cuda::StreamHandle stream);
  int (*ncclReduce)(const void* in, void* out, size_t count, int type, int op, int root, CommHandle comm, cuda::StreamHandle stream);
  int (*ncclReduceScatter)(const void* in, void* out, size_t count, int type, int op, CommHandle comm, cuda::StreamHandle stream);
  int (*ncclAllGather)(const void* in, void* out, size_t count, int type, CommHandle comm, cuda::StreamHandle stream);
  int (*ncclBroadcast)(const void* in, void* out, size_t count, int type, int root, CommHandle comm, cuda::StreamHandle stream);
  int (*ncclSend)(const void* data, size_t count, int type, int peer, CommHandle comm, cuda::StreamHandle stream);
  int (*ncclRecv)(void* data, size_t count, int type, int peer, CommHandle comm, cuda::StreamHandle stream);

  /// Of the library that was opened, e.g. 23007 for 2.30.7.
  int version = 0;

  /// The library that TROUPE_NCCL names, else libnccl.so.2 where the loader finds it, opened at the first call. Throws
  /// std::runtime_error, also if it is older than 2.18.
  static const Library& get();

  /// NCCL's text for a result: its kind, and what it said last if it said anything.
  std::string textOf(int result, CommHandle comm) const;
};

/// E.g. "2.30.7".
std::string versionText(int version);

int typeOf(DataType type);
int operationOf(Reduction reduction);

}  // namespace troupe::collective::nccl
