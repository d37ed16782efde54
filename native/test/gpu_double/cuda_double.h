#pragma once

// What the test double of NCCL needs of the test double of the CUDA driver.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

namespace gpu_double {

constexpr int kCudaSuccess = 0, kCudaInvalidValue = 1, kCudaOutOfMemory = 2, kCudaInvalidDevice = 101, kCudaNotReady = 600,
              kCudaLaunchFailed = 719;

/// Where the bytes of "device memory" really are; null unless all of them lie in one allocation. The address that
/// programs are given can be neither read nor written, as that of a GPU's memory cannot.
uint8_t* bytesBehind(const void* pointer, size_t bytes);

/// Does `work` after everything given to the stream before. A result other than 0 fails the stream.
void enqueue(void* stream, std::function<int()> work);

/// Which of the machine's pretended GPUs the calling thread uses.
int currentDevice();

}  // namespace gpu_double
