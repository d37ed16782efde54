// y = gate / (1 + e^-gate) · up, element by element; y may be the memory of gate or up.
extern "C" __global__ void silu_multiply(const float* gate, const float* up, float* y, long long count) {
  const long long stride = static_cast<long long>(gridDim.x) * blockDim.x;
  for (long long i = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x; i < count; i += stride)
    y[i] = gate[i] / (1.0f + expf(-gate[i])) * up[i];
}
