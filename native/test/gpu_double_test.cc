// What the test double of a GPU does with kernels, and what it finds wrong with them.
#include <cstdio>
#include <fcntl.h>
#include <fstream>
#include <numeric>
#include <sstream>
#include <unistd.h>

#include "gpu_kernels.h"

using namespace troupe::cuda;
using troupe::collective::has;
using troupe::collective::usesRealGpus;

/// What `body` writes to standard error.
template <class Body>
static std::string saidBy(Body&& body) {
  const TestFolder folder;
  const std::string file = folder.path + "/said";
  const int kept = dup(2), to = open(file.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  CHECK(kept >= 0 && dup2(to, 2) >= 0);
  body();
  CHECK(dup2(kept, 2) >= 0);
  close(kept);
  close(to);
  std::ifstream read(file);
  std::stringstream text;
  text << read.rdbuf();
  return text.str();
}

template <class Body>
static std::string errorOf(Body&& body) {
  try {
    body();
  } catch (const CudaError& error) {
    return error.what();
  }
  return "";
}

TEST("kernels run on the double of a GPU with barriers, shuffles, shared memory and atomics") {
  const Source source{"sums.cu",
                      R"(
    extern __shared__ float4 rows[];
    extern "C" __global__ void __launch_bounds__(256) sums(const float4* x, float* sum, unsigned* blocks, int count) {
      __shared__ float parts[8];
      const int i = blockIdx.x * blockDim.x + threadIdx.x;
      rows[threadIdx.x] = i < count ? x[i] : make_float4(0, 0, 0, 0);
      __syncthreads();
      const float4 own = rows[blockDim.x - 1 - threadIdx.x];
      float total = own.x + own.y + own.z + own.w;
      for (int lanes = 16; lanes > 0; lanes /= 2) total += __shfl_xor_sync(0xffffffffu, total, lanes);
      if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = total;
      __syncthreads();
      if (threadIdx.x >= 32) return;
      total = threadIdx.x < blockDim.x / 32 ? parts[threadIdx.x] : 0.0f;
      for (int lanes = 16; lanes > 0; lanes /= 2) total += __shfl_down_sync(0xffffffffu, total, lanes);
      const unsigned all = __ballot_sync(0xffffffffu, threadIdx.x % 2 == 0);
      if (threadIdx.x == 0) {
        atomicAdd(sum, total);
        atomicAdd(blocks, all == 0x55555555u ? 1u : 1000u);
      }
    })",
                      {},
                      {}};
  const auto gpu = testGpu();
  const Kernel kernel(moduleOf(gpu, source), "sums", 256 * 16);
  Stream stream(gpu);
  for (const int count : {1, 255, 1000}) {
    std::vector<float> x(static_cast<size_t>(count) * 4);
    std::iota(x.begin(), x.end(), 1.0f);
    const GpuVector<float> on(gpu, x), sum(gpu, {0});
    const GpuVector<unsigned> blocks(gpu, {0});
    const auto grid = static_cast<unsigned>((count + 255) / 256);
    kernel.launch(stream, {grid}, {256}, 256 * 16, on.data(), sum.data(), blocks.data(), count);
    finish(stream);
    CHECK(blocks.read()[0] == grid);
    CHECK(std::abs(sum.read()[0] - std::accumulate(x.begin(), x.end(), 0.0)) <= 1e-5 * x.size() * x.size());
  }
}

namespace {

/// A kernel with something wrong, and what is said of it.
struct Planted {
  const char* body;
  unsigned threads;
  const char* said;
  const char* error;
};

}  // namespace

TEST("the double of a GPU finds races, accesses out of bounds and barriers that not all threads reach, and takes the GPU out of use") {
  if (usesRealGpus()) return;
  const Planted planted[] = {
      {"shared[threadIdx.x] = x[threadIdx.x]; if (threadIdx.x > 0) x[threadIdx.x] = shared[threadIdx.x - 1];", 64,
       "unsynchronised read of 4 bytes at byte", "LAUNCH_FAILED"},
      {"shared[threadIdx.x] = x[threadIdx.x]; __syncwarp(); if (threadIdx.x >= 32) x[threadIdx.x] = shared[threadIdx.x - 32];", 64,
       " of the block wrote with no barrier", "LAUNCH_FAILED"},
      {"shared[0] = x[threadIdx.x]; __syncthreads(); x[threadIdx.x] = shared[0];", 2, "unsynchronised write of 4 bytes at byte",
       "LAUNCH_FAILED"},
      {"x[0] += 1;", 1, "which a thread of another block wrote", "LAUNCH_FAILED"},
      {"if (x[127] != 0) shared[threadIdx.x] = 1; x[threadIdx.x] = shared[threadIdx.x];", 1, "uninitialised read of 4 bytes",
       "LAUNCH_FAILED"},
      {"x[threadIdx.x + 1] = 0;", 128, "0 bytes past the end of an allocation of 512 bytes", "ILLEGAL_ADDRESS"},
      {"if (x[127] != 0) shared[threadIdx.x] = 1; x[0] = shared[100000 + threadIdx.x];", 1, "out-of-bounds read of 4 bytes",
       "ILLEGAL_ADDRESS"},
      {"*reinterpret_cast<float4*>(x + 1) = make_float4(0, 0, 0, 0);", 1, "misaligned write of 16 bytes at byte 4", "MISALIGNED_ADDRESS"},
      {"if (threadIdx.x < 40) __syncthreads();", 64, "divergent barrier", "LAUNCH_FAILED"},
      {"if (threadIdx.x < 32) __syncthreads(); else if (x[127] == 0) __syncthreads();", 64, "waits elsewhere", "LAUNCH_FAILED"},
      {"if (threadIdx.x % 32 != 3) x[threadIdx.x] = __shfl_xor_sync(0xffffffffu, 1.0f, 1);", 32, "thread 3 has ended", "LAUNCH_FAILED"},
      {"x[threadIdx.x] = __shfl_xor_sync(0xffffffffu, 1.0f, 1);", 16, "names lanes that are not there", "LAUNCH_FAILED"},
  };
  int number = 0;
  for (const auto& [body, threads, said, error] : planted) {
    const auto gpu = testGpu(++number);
    const Source source{
        "planted.cu", "extern \"C\" __global__ void planted(float* x) { __shared__ float shared[64]; " + std::string(body) + " }", {}, {}};
    const GpuVector<float> x(gpu, std::vector<float>(128));
    Stream stream(gpu);
    std::string failure, after;
    const std::string text = saidBy([&] {
      const Kernel kernel(moduleOf(gpu, source), "planted");
      kernel.launch(stream, {has(said, "another block") ? 2u : 1u}, {threads}, 0, x.data());
      failure = errorOf([&] { finish(stream); });
      after = errorOf([&] { kernel.launch(stream, {1}, {1}, 0, x.data()); });
    });
    if (!has(text, said) || !has(failure, error)) std::fprintf(stderr, "%s\nsaid: %s\nfailed: %s\n", body, text.c_str(), failure.c_str());
    CHECK(has(text, said) && has(text, "kernel planted, block ("));
    CHECK(has(failure, error) && has(failure, "start its actor anew"));
    CHECK(has(after, error));
  }
}

TEST("what is right passes the double's checks: barriers between threads, within warps, and atomic operations") {
  const char* const bodies[] = {
      "shared[threadIdx.x] = x[threadIdx.x]; __syncthreads(); x[threadIdx.x] = shared[threadIdx.x ^ 33];",
      "shared[threadIdx.x] = x[threadIdx.x]; __syncwarp(); x[threadIdx.x] = shared[threadIdx.x ^ 1];",
      "for (int i = 0; i < 3; i++) { if (threadIdx.x == i) shared[0] = x[i]; __syncthreads(); x[threadIdx.x] += shared[0]; __syncthreads(); }",
      "atomicAdd(x, 1.0f);",
      "reinterpret_cast<unsigned char*>(x)[threadIdx.x] = 1;",
  };
  const auto gpu = testGpu();
  Stream stream(gpu);
  for (const char* body : bodies) {
    const Source source{
        "right.cu", "extern \"C\" __global__ void right(float* x) { __shared__ float shared[64]; " + std::string(body) + " }", {}, {}};
    const GpuVector<float> x(gpu, std::vector<float>(64));
    Kernel(moduleOf(gpu, source), "right").launch(stream, {1}, {64}, 0, x.data());
    CHECK(errorOf([&] { finish(stream); }).empty());
  }
}

TEST("a kernel that does not compile is told with the compiler's first error, and a kernel that there is not by its call") {
  const auto gpu = testGpu();
  const Source wrong{"wrong.cu", "extern \"C\" __global__ void wrong(float* x) {\n  x[0] = unknown;\n}\n", {}, {}};
  const std::string text = errorOf([&] { moduleOf(gpu, wrong); });
  CHECK(has(text, "wrong.cu do not compile for sm_") && has(text, "unknown") && has(text, "error"));
  const Source other{"other.cu", "extern \"C\" __global__ void other(float* x) { x[0] = 1; }", {}, {}};
  CHECK(has(errorOf([&] { Kernel(moduleOf(gpu, other), "another"); }), "cuModuleGetFunction failed with CUDA_ERROR_NOT_FOUND"));
}

TEST("what was compiled is kept, and compiled anew where the file is damaged or of another key") {
  const TestFolder folder;
  const CubinCache cache(folder.path + "/new/cubins");
  int compiled = 0;
  const auto compile = [&] { return "cubin " + std::to_string(++compiled); };
  CHECK(cache.get("key", compile) == "cubin 1" && cache.get("key", compile) == "cubin 1");
  CHECK(cache.get("another key", compile) == "cubin 2" && cache.get("key", compile) == "cubin 1");
  const std::string file = cache.fileOf("key");
  const auto size = std::filesystem::file_size(file);
  for (size_t at = 0; at < size; at++) {
    std::fstream damaged(file, std::ios::in | std::ios::out | std::ios::binary);
    damaged.seekg(static_cast<std::streamoff>(at));
    const auto byte = static_cast<char>(damaged.get());
    damaged.seekp(static_cast<std::streamoff>(at));
    damaged.put(static_cast<char>(byte ^ 32));
    damaged.close();
    const int before = compiled;
    CHECK(cache.get("key", compile) == "cubin " + std::to_string(before + 1) &&
          cache.get("key", compile) == "cubin " + std::to_string(before + 1));
  }
  for (const size_t left : {size_t{0}, size_t{5}, static_cast<size_t>(std::filesystem::file_size(file)) - 1}) {
    std::filesystem::resize_file(file, left);
    const int before = compiled;
    CHECK(cache.get("key", compile) == "cubin " + std::to_string(before + 1));
  }
}

TEST("a GPU out of memory says which, how much was asked for and how much is free") {
  if (usesRealGpus()) return;
  const auto gpu = testGpu(40);
  const std::string text = errorOf([&] { DeviceMemory(gpu, size_t{17} << 30); });
  CHECK(has(text, "test double 55") && has(text, "asked for 18253611008 bytes") && has(text, "of 17179869184 are free"));
}
