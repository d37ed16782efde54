// y = x · weightᵀ + bias + residual, in float32: x [tokens, inputs], weight [outputs, inputs] of TYPE, bias [outputs] or null, residual and
// y [tokens, outputs]; residual may be null, or the memory of y.
#include "elements.cuh"
#include "reductions.cuh"

namespace {

/// Elements that a thread widens at once; blocks have multiples of it.
constexpr int kRun = 8;

/// Elements [first, first + kRun) of a row of so many inputs, and zeros behind them.
__device__ void weightsAt(const byte* row, int first, int inputs, float* to) {
  if constexpr (TYPE::kElements > 1) {
    const byte* block = row + static_cast<size_t>(first / TYPE::kElements) * TYPE::kBytes;
#pragma unroll
    for (int i = 0; i < kRun; i++) to[i] = TYPE::at(block, first % TYPE::kElements + i);
  } else {
#pragma unroll
    for (int i = 0; i < kRun; i++) to[i] = first + i < inputs ? elementAt<TYPE>(row, first + i) : 0.0f;
  }
}

__device__ void write(float value, int token, int output, const float* bias, const float* residual, float* y, int outputs) {
  const size_t at = static_cast<size_t>(token) * outputs + output;
  if (bias != nullptr) value += bias[output];
  if (residual != nullptr) value += residual[at];
  y[at] = value;
}

}  // namespace

/// Few tokens: a warp for each output and so many tokens, which reads the weight's row once for them.
constexpr int kTokens = 8;

extern "C" __global__ void __launch_bounds__(128) linear_few(const float* x, const byte* weight, const float* bias, const float* residual,
                                                             float* y, int tokens, int inputs, int outputs) {
  const int lane = threadIdx.x % 32, output = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32, firstToken = blockIdx.y * kTokens;
  if (output >= outputs) return;
  const byte* row = weight + static_cast<size_t>(output) * bytesOfRow<TYPE>(inputs);
  float sums[kTokens] = {};
  for (int first = lane * kRun; first < inputs; first += 32 * kRun) {
    float weights[kRun];
    weightsAt(row, first, inputs, weights);
#pragma unroll
    for (int token = 0; token < kTokens; token++) {
      if (firstToken + token >= tokens) break;
      const float* from = x + static_cast<size_t>(firstToken + token) * inputs + first;
#pragma unroll
      for (int i = 0; i < kRun; i++) {
        if (TYPE::kElements > 1 || first + i < inputs) sums[token] += weights[i] * from[i];
      }
    }
  }
#pragma unroll
  for (int token = 0; token < kTokens; token++) {
    const float sum = reduceWarp<Sum>(sums[token]);
    if (lane == 0 && firstToken + token < tokens) write(sum, firstToken + token, output, bias, residual, y, outputs);
  }
}

/// Many tokens: a block for each tile of 64 tokens and 64 outputs, which passes over the inputs in steps that lie in shared memory; each
/// thread has 4 × 4 sums.
constexpr int kTile = 64, kStep = 32, kOwn = 4;

extern "C" __global__ void __launch_bounds__(256) linear_many(const float* x, const byte* weight, const float* bias, const float* residual,
                                                              float* y, int tokens, int inputs, int outputs) {
  __shared__ float left[kStep][kTile + 1];   // of x, turned
  __shared__ float right[kStep][kTile + 1];  // of the weight, turned
  const int firstToken = blockIdx.y * kTile, firstOutput = blockIdx.x * kTile;
  const int row = threadIdx.x / 4, run = threadIdx.x % 4 * kRun;  // what this thread brings
  const int across = threadIdx.x % 16, down = threadIdx.x / 16;   // what it sums
  float sums[kOwn][kOwn] = {};
  for (int first = 0; first < inputs; first += kStep) {
    float weights[kRun] = {};
    const int k = first + run;
    if (firstOutput + row < outputs && k < inputs)
      weightsAt(weight + static_cast<size_t>(firstOutput + row) * bytesOfRow<TYPE>(inputs), k, inputs, weights);
    const float* from = x + static_cast<size_t>(firstToken + row) * inputs + k;
#pragma unroll
    for (int i = 0; i < kRun; i++) {
      right[run + i][row] = weights[i];
      left[run + i][row] = firstToken + row < tokens && k + i < inputs ? from[i] : 0.0f;
    }
    __syncthreads();
#pragma unroll 8
    for (int i = 0; i < kStep; i++) {
      float a[kOwn], b[kOwn];
#pragma unroll
      for (int own = 0; own < kOwn; own++) {
        a[own] = left[i][down + 16 * own];
        b[own] = right[i][across + 16 * own];
      }
#pragma unroll
      for (int p = 0; p < kOwn; p++) {
#pragma unroll
        for (int q = 0; q < kOwn; q++) sums[p][q] += a[p] * b[q];
      }
    }
    __syncthreads();
  }
#pragma unroll
  for (int p = 0; p < kOwn; p++) {
#pragma unroll
    for (int q = 0; q < kOwn; q++) {
      const int token = firstToken + down + 16 * p, output = firstOutput + across + 16 * q;
      if (token < tokens && output < outputs) write(sums[p][q], token, output, bias, residual, y, outputs);
    }
  }
}
