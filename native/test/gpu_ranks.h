#pragma once

// The NCCL backend, run against the test double of NCCL and of the CUDA driver in gpu_double/, which is opened in their
// place. TROUPE_TEST_GPUS=1 opens the real libraries instead, on a machine with GPUs; what can only be asked of the test
// double is left out then.
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "check.h"
#include "collective/nccl/gpu_group.h"
#include "device/storage.h"
#include "elements.h"
#include "ranks.h"

namespace troupe::collective {

inline bool usesRealGpus() { return std::getenv("TROUPE_TEST_GPUS") != nullptr; }

inline void openDouble() {
  if (usesRealGpus()) return;
  setenv("TROUPE_NCCL", TROUPE_GPU_DOUBLE, 1);
  setenv("TROUPE_CUDA", TROUPE_GPU_DOUBLE, 1);
}

inline int mostRanks() {
  openDouble();
  return std::min(8, cuda::deviceCount());
}

/// Elements on a GPU, and a copy of them on the host.
class GpuElements {
 public:
  GpuElements(const std::shared_ptr<cuda::Gpu>& gpu, DataType type, size_t count)
      : type_(type), bytes_(count * bytesOf(type)), device_(Storage::allocateOn(gpu, bytes_ + kBefore)), host_(Storage::allocate(bytes_)) {}
  GpuElements(const std::shared_ptr<cuda::Gpu>& gpu, DataType type, size_t count, int rank) : GpuElements(gpu, type, count) {
    for (size_t i = 0; i < count; i++) writeElement(host_->data() + i * bytesOf(type), type, rank, i);
    if (bytes_ > 0) cuda::copy({host_->data(), nullptr}, {data(), device_->gpu()}, bytes_);
  }
  uint8_t* data() { return device_->data() + kBefore; }
  size_t bytes() const { return bytes_; }
  /// Element i as it is on the GPU now; fetch() brings them all.
  const uint8_t* at(size_t i) const { return host_->data() + i * bytesOf(type_); }
  void fetch() {
    if (bytes_ > 0) cuda::copy({data(), device_->gpu()}, {host_->data(), nullptr}, bytes_);
  }

 private:
  static constexpr size_t kBefore = 8;  // elements of a view begin within an allocation

  DataType type_;
  size_t bytes_;
  std::shared_ptr<Storage> device_, host_;
};

inline Signature anySignature() { return {OperationKind::AllReduce, DataType::Float32, Reduction::Sum, 1, -1, 4, 0}; }

using OnGpu = std::function<void(Communicator&, nccl::GpuGroup&, const std::shared_ptr<cuda::Gpu>&)>;

inline void onGpus(int size, const Nodes& nodes, const OnGpu& body) {
  onRanks(size, nodes, [&](Communicator& group) {
    const auto gpu = cuda::Gpu::open(group.rank());
    body(group, group.onGpu(gpu, anySignature()), gpu);
  });
}

/// Runs `body` on every rank, and gives what each one's CollectiveError said.
inline std::vector<std::string> failures(int size, const Nodes& nodes, const OnGpu& body) {
  std::vector<std::string> reasons(static_cast<size_t>(size));
  onRanks(size, nodes, [&](Communicator& group) {
    try {
      const auto gpu = cuda::Gpu::open(group.rank());
      body(group, group.onGpu(gpu, anySignature()), gpu);
    } catch (const std::exception& error) {
      reasons[static_cast<size_t>(group.rank())] = error.what();
    }
  });
  return reasons;
}

inline bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace troupe::collective
