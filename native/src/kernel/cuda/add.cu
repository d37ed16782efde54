// y = a + b, element by element; y may be the memory of a or b.
extern "C" __global__ void add(const float* a, const float* b, float* y, long long count) {
  const long long stride = static_cast<long long>(gridDim.x) * blockDim.x;
  for (long long i = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x; i < count; i += stride) y[i] = a[i] + b[i];
}
