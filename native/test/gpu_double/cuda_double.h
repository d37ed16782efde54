#pragma once

// What the test double of NCCL needs of the test double of the CUDA driver.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

namespace gpu_double {

constexpr int kCudaSuccess = 0, kCudaInvalidValue = 1, kCudaOutOfMemory = 2, kCudaInvalidDevice = 101, kCudaNotReady = 600,
              kCudaInvalidImage = 200, kCudaNotFound = 500, kCudaIllegalAddress = 700, kCudaMisalignedAddress = 716,
              kCudaLaunchFailed = 719;

/// Bytes of shared memory that a block may have: of a GPU of compute capability 9.0.
constexpr size_t kMostShared = 232448;

/// Where the bytes of "device memory" really are; null unless all of them lie in one allocation. The address that
/// programs are given can be neither read nor written, as that of a GPU's memory cannot.
uint8_t* bytesBehind(const void* pointer, size_t bytes);

/// Does `work` after everything given to the stream before. A result other than 0 fails the stream.
void enqueue(void* stream, std::function<int()> work);

/// The same for a kernel, whose failure takes its GPU out of use.
void enqueueKernel(void* stream, std::function<int()> work);

/// Whether a kernel that has failed has taken the GPU that the calling thread uses out of use: then every call gives what it failed with.
int lostDevice();

/// Which of the machine's pretended GPUs the calling thread uses.
int currentDevice();

}  // namespace gpu_double
