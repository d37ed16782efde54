#pragma once

#include <string>
#include <vector>

#include "collective/communicator.h"
#include "device/region.h"

namespace troupe::collective {

/// A collective, or a message, on memory of this rank, wherever that is. Sizes are in bytes.
struct Request {
  /// Its name in errors.
  std::string name;
  OperationKind kind = OperationKind::Barrier;
  DataType type = DataType::UInt8;
  Reduction reduction = Reduction::Sum;
  int root = 0;
  /// The other rank of a message, and whether it is sent or received.
  int peer = 0;
  bool isSent = false;
  /// The bytes that each rank gives, or, in an all-to-all, that each is sent.
  std::vector<size_t> sizes;
  /// In an all-to-all, what each rank sends here.
  std::vector<size_t> receiveSizes;
  Region input{}, output{};
};

/// Runs collectives in order; messages that follow each other are exchanged all at once. Those on memory of a GPU are given to
/// NCCL, in which the ranks meet first if they have not, and those on host memory travel in shared memory and over TCP. Throws
/// CollectiveError, and std::invalid_argument, with nothing done, for a request that the group or its memory does not fit.
void run(Communicator& group, const std::vector<Request>& requests);

}  // namespace troupe::collective
