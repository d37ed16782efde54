#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "collective/communicator.h"
#include "collective/nccl/library.h"
#include "collective/point_to_point.h"

namespace troupe::collective::nccl {

/// A communicator's ranks as NCCL knows them, each with a GPU. Operations are those of the same names on host memory, on
/// memory of that GPU, and return once they have been given to it; wait() returns once all of them are done.
///
/// Before an operation is given to the GPUs the ranks agree on it over the communicator itself: so that a rank that does
/// something else, or holds its tensor elsewhere, is named, where NCCL would hang. While a rank waits it looks after
/// NCCL's own errors and after the other ranks. Whatever goes wrong ends the communicator, with NCCL's operations.
class GpuGroup {
 public:
  /// Meets the other ranks, all of which call it. `reason` is what errors say it was for. Throws CollectiveError.
  static std::unique_ptr<GpuGroup> meet(Communicator& all, const std::shared_ptr<cuda::Gpu>& gpu, const std::string& reason);

  ~GpuGroup();
  GpuGroup(const GpuGroup&) = delete;
  GpuGroup& operator=(const GpuGroup&) = delete;

  const std::shared_ptr<cuda::Gpu>& gpu() const { return stream_.gpu(); }

  void allReduce(const uint8_t* in, uint8_t* out, size_t count, DataType type, Reduction reduction);
  void reduce(const uint8_t* in, uint8_t* out, size_t count, DataType type, Reduction reduction, int root);
  void reduceScatter(const uint8_t* in, uint8_t* out, const size_t* counts, DataType type, Reduction reduction);
  void broadcast(const uint8_t* in, uint8_t* out, size_t bytes, int root, DataType type);
  void allGather(const uint8_t* in, const size_t* bytes, uint8_t* out, DataType type);
  void gather(const uint8_t* in, const size_t* bytes, uint8_t* out, int root, DataType type);
  void scatter(const uint8_t* in, const size_t* bytes, uint8_t* out, int root, DataType type);
  void allToAll(const uint8_t* in, const size_t* sendBytes, uint8_t* out, const size_t* receiveBytes, DataType type);
  void exchange(const std::vector<Message>& messages);

  void wait();

  /// The ranks that give the same color as a group of `part`, which has the same ranks. All ranks call it.
  std::unique_ptr<GpuGroup> split(Communicator& part, int color, int key);
  /// Ends the group in order, which all ranks do once their operations are done.
  void finalize();

  /// Lets NCCL keep memory prepared for transfers, until it is given to deregisterMemory(). Null where NCCL cannot (before 2.19).
  void* registerMemory(uint8_t* memory, size_t bytes);
  void deregisterMemory(void* registration);

 private:
  GpuGroup(Communicator& all, const std::shared_ptr<cuda::Gpu>& gpu) : all_(all), nccl_(Library::get()), stream_(gpu), launched_(gpu) {}

  /// Runs `launch`, which calls NCCL, as one group call, once the ranks agree on `signature`.
  void launch(const Signature& signature, const std::function<void()>& launch);
  void launchAgreed(const std::string& what, const std::function<void()>& launch);
  /// Runs `step`, whose failure ends the group and NCCL's part of it; `what` it was for goes into the error.
  void guard(const std::string& what, const std::function<void()>& step);
  std::string whoHasGone() const;
  void call(int result, const char* name);
  void settle();
  void await(const std::function<bool()>& ready);
  void checkState();
  void end();

  Communicator& all_;
  const Library& nccl_;
  cuda::Stream stream_;
  cuda::Event launched_;  // what the GPU was last given
  CommHandle comm_ = nullptr;
  std::string what_;  // that is under way, for errors
};

}  // namespace troupe::collective::nccl
