#pragma once

// CUDA C++ for the host's compiler: what kernels use of the language that is no C++, as "CUDA C++ Programming Guide" by NVIDIA
// defines it (https://docs.nvidia.com/cuda/cuda-c-programming-guide). Kernels are compiled with it before them and with
// -fsanitize=thread, whose calls before every access to memory are answered here and not by the sanitizer's library.
//
// It includes nothing, so that kernels see what NVRTC gives them and no more.
#include "interface.h"

#define __global__ __attribute__((noinline))
#define __device__
#define __host__
#define __constant__
#define __forceinline__ inline
#define __noinline__ __attribute__((noinline))
#define __restrict__
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
// Statics of a thread: a block is executed by one thread of the host.
#define __shared__ thread_local
#define __UNSEEN __attribute__((no_sanitize("thread")))

static gpu_double::Here* __here;

extern "C" __attribute__((visibility("default"), no_sanitize("thread"))) void gpu_double_attach(gpu_double::Here* here) { __here = here; }
static thread_local char __anchor;
extern "C" __attribute__((visibility("default"), no_sanitize("thread"))) void* gpu_double_anchor() { return &__anchor; }

#define __SITE __builtin_return_address(0)

extern "C" {
#define __HOOK(name, bytes, kind, aligned)                                                                                                 \
  __attribute__((visibility("hidden"), no_sanitize("thread"))) void name(void* address) {                                                  \
    const auto place = reinterpret_cast<unsigned long>(address) - __here->lowestOfStack;                                                   \
    if (place < __here->bytesOfStack) return;                                                                                              \
    __here->access(address, bytes, gpu_double::Access::kind, aligned, __SITE);                                                             \
  }
#define __HOOKS(bytes)                                                                                                                     \
  __HOOK(__tsan_read##bytes, bytes, Read, true)                                                                                            \
  __HOOK(__tsan_write##bytes, bytes, Write, true)                                                                                          \
  __HOOK(__tsan_volatile_read##bytes, bytes, Read, true)                                                                                   \
  __HOOK(__tsan_volatile_write##bytes, bytes, Write, true)
__HOOKS(1)
__HOOKS(2)
__HOOKS(4)
__HOOKS(8)
__HOOKS(16)
#define __UNALIGNED_HOOKS(bytes)                                                                                                           \
  __HOOK(__tsan_unaligned_read##bytes, bytes, Read, false)                                                                                 \
  __HOOK(__tsan_unaligned_write##bytes, bytes, Write, false)
__UNALIGNED_HOOKS(2)
__UNALIGNED_HOOKS(4)
__UNALIGNED_HOOKS(8)
__UNALIGNED_HOOKS(16)
__attribute__((visibility("hidden"), no_sanitize("thread"))) void __tsan_read_range(void* address, long bytes) {
  if (reinterpret_cast<unsigned long>(address) - __here->lowestOfStack < __here->bytesOfStack) return;
  __here->access(address, static_cast<unsigned long>(bytes), gpu_double::Access::Read, false, __SITE);
}
__attribute__((visibility("hidden"), no_sanitize("thread"))) void __tsan_write_range(void* address, long bytes) {
  if (reinterpret_cast<unsigned long>(address) - __here->lowestOfStack < __here->bytesOfStack) return;
  __here->access(address, static_cast<unsigned long>(bytes), gpu_double::Access::Write, false, __SITE);
}
__attribute__((visibility("hidden"), no_sanitize("thread"))) void __tsan_init() {}
__attribute__((visibility("hidden"), no_sanitize("thread"))) void __tsan_func_entry(void*) {}
__attribute__((visibility("hidden"), no_sanitize("thread"))) void __tsan_func_exit() {}
}

// Built-in variables, and vectors.
using uint3 = gpu_double::Index;
__UNSEEN inline uint3 __threadIdx() { return __here->threadIdx; }
__UNSEEN inline uint3 __blockIdx() { return __here->blockIdx; }
__UNSEEN inline uint3 __blockDim() { return __here->blockDim; }
__UNSEEN inline uint3 __gridDim() { return __here->gridDim; }
#define threadIdx (__threadIdx())
#define blockIdx (__blockIdx())
#define blockDim (__blockDim())
#define gridDim (__gridDim())
constexpr int warpSize = 32;
using size_t = decltype(sizeof(0));

/// Vectors are copied at once by a GPU, but element by element by what is compiled here, so their addresses are looked at in the copy.
__UNSEEN __noinline__ static void __expectAligned(const void* address, unsigned long bytes, gpu_double::Access kind, const void* site) {
  if (reinterpret_cast<unsigned long>(address) % bytes != 0) __here->access(address, bytes, kind, true, site);
}
#define __COPIED(name, bytes)                                                                                                              \
  name() = default;                                                                                                                        \
  inline name(const name& from) {                                                                                                          \
    __expectAligned(&from, bytes, gpu_double::Access::Read, __SITE);                                                                       \
    __set(from);                                                                                                                           \
  }                                                                                                                                        \
  inline name& operator=(const name& from) {                                                                                               \
    __expectAligned(&from, bytes, gpu_double::Access::Read, __SITE);                                                                       \
    __expectAligned(this, bytes, gpu_double::Access::Write, __SITE);                                                                       \
    __set(from);                                                                                                                           \
    return *this;                                                                                                                          \
  }
#define __VECTORS(type, name, of2, of4)                                                                                                    \
  struct __align__(of2) name##2 {                                                                                                          \
    type x, y;                                                                                                                             \
    inline name##2(type x, type y) : x(x), y(y) {}                                                                                         \
    __COPIED(name##2, of2)                                                                                                                 \
    inline void __set(const name##2 & from) { x = from.x, y = from.y; }                                                                    \
  };                                                                                                                                       \
  struct __align__(of4) name##4 {                                                                                                          \
    type x, y, z, w;                                                                                                                       \
    inline name##4(type x, type y, type z, type w) : x(x), y(y), z(z), w(w) {}                                                             \
    __COPIED(name##4, of4)                                                                                                                 \
    inline void __set(const name##4 & from) { x = from.x, y = from.y, z = from.z, w = from.w; }                                            \
  };                                                                                                                                       \
  inline name##2 make_##name##2(type x, type y) { return {x, y}; }                                                                         \
  inline name##4 make_##name##4(type x, type y, type z, type w) { return {x, y, z, w}; }
__VECTORS(float, float, 8, 16)
__VECTORS(int, int, 8, 16)
__VECTORS(unsigned, uint, 8, 16)

template <class T>
inline T __ldg(const T* from) {
  return *from;
}

// Waiting for each other.
__UNSEEN __noinline__ static void __syncthreads() { __here->barrier(__SITE); }
__UNSEEN __noinline__ static void __syncwarp(unsigned mask = 0xffffffffu) {
  __here->exchange(gpu_double::Exchange::Wait, mask, 0, 0, __SITE);
}
inline void __threadfence() {}
inline void __threadfence_block() {}

template <class T>
__UNSEEN __noinline__ T __shuffle(unsigned mask, T value, unsigned source, const void* site) {
  static_assert(sizeof(T) <= sizeof(unsigned long long), "shuffles are of at most 8 bytes");
  unsigned long long bits = 0;
  __builtin_memcpy(&bits, &value, sizeof value);
  bits = __here->exchange(gpu_double::Exchange::Shuffle, mask, bits, source, site);
  __builtin_memcpy(&value, &bits, sizeof value);
  return value;
}
template <class T>
__UNSEEN __noinline__ T __shfl_sync(unsigned mask, T value, int lane, int width = 32) {
  const unsigned own = __here->lane, first = own / width * width;
  return __shuffle(mask, value, first + static_cast<unsigned>(lane) % width, __SITE);
}
template <class T>
__UNSEEN __noinline__ T __shfl_xor_sync(unsigned mask, T value, int lanes, int width = 32) {
  const unsigned own = __here->lane, source = own ^ static_cast<unsigned>(lanes);
  return __shuffle(mask, value, source < (own / width + 1) * width ? source : own, __SITE);
}
template <class T>
__UNSEEN __noinline__ T __shfl_down_sync(unsigned mask, T value, unsigned lanes, int width = 32) {
  const unsigned own = __here->lane, source = own + lanes;
  return __shuffle(mask, value, source < (own / width + 1) * width ? source : own, __SITE);
}
template <class T>
__UNSEEN __noinline__ T __shfl_up_sync(unsigned mask, T value, unsigned lanes, int width = 32) {
  const unsigned own = __here->lane;
  return __shuffle(mask, value, own - own / width * width >= lanes ? own - lanes : own, __SITE);
}
__UNSEEN __noinline__ static unsigned __ballot_sync(unsigned mask, int predicate) {
  return static_cast<unsigned>(__here->exchange(gpu_double::Exchange::Ballot, mask, predicate != 0, 0, __SITE));
}
inline int __any_sync(unsigned mask, int predicate) { return __ballot_sync(mask, predicate) != 0; }
inline int __all_sync(unsigned mask, int predicate) { return __ballot_sync(mask, predicate) == mask; }

// Atomic operations: threads of the double take turns only where they wait for each other.
template <class T, class Change>
__UNSEEN __noinline__ T __atomic(T* address, const void* site, Change change) {
  __here->access(address, sizeof(T), gpu_double::Access::Atomic, true, site);
  T old;
  __builtin_memcpy(&old, address, sizeof old);
  const T now = change(old);
  __builtin_memcpy(address, &now, sizeof now);
  return old;
}
template <class T>
__UNSEEN __noinline__ T atomicAdd(T* address, T value) {
  return __atomic(address, __SITE, [=](T old) -> T { return old + value; });
}
template <class T>
__UNSEEN __noinline__ T atomicMax(T* address, T value) {
  return __atomic(address, __SITE, [=](T old) -> T { return old > value ? old : value; });
}
template <class T>
__UNSEEN __noinline__ T atomicMin(T* address, T value) {
  return __atomic(address, __SITE, [=](T old) -> T { return old < value ? old : value; });
}
template <class T>
__UNSEEN __noinline__ T atomicOr(T* address, T value) {
  return __atomic(address, __SITE, [=](T old) -> T { return old | value; });
}
template <class T>
__UNSEEN __noinline__ T atomicExch(T* address, T value) {
  return __atomic(address, __SITE, [=](T) -> T { return value; });
}
template <class T>
__UNSEEN __noinline__ T atomicCAS(T* address, T expected, T value) {
  return __atomic(address, __SITE, [=](T old) -> T { return old == expected ? value : old; });
}

// Functions of numbers.
inline float __uint_as_float(unsigned bits) {
  float value;
  __builtin_memcpy(&value, &bits, sizeof value);
  return value;
}
inline unsigned __float_as_uint(float value) {
  unsigned bits;
  __builtin_memcpy(&bits, &value, sizeof bits);
  return bits;
}
inline float __int_as_float(int bits) { return __uint_as_float(static_cast<unsigned>(bits)); }
inline int __float_as_int(float value) { return static_cast<int>(__float_as_uint(value)); }
inline int __float2int_rn(float value) { return static_cast<int>(__builtin_rintf(value)); }
inline int __popc(unsigned bits) { return __builtin_popcount(bits); }
inline int __ffs(int bits) { return __builtin_ffs(bits); }
inline int __clz(int bits) { return bits == 0 ? 32 : __builtin_clz(static_cast<unsigned>(bits)); }
inline float expf(float x) { return __builtin_expf(x); }
inline float __expf(float x) { return __builtin_expf(x); }
inline float logf(float x) { return __builtin_logf(x); }
inline float sqrtf(float x) { return __builtin_sqrtf(x); }
inline float rsqrtf(float x) { return 1.0f / __builtin_sqrtf(x); }
inline float sinf(float x) { return __builtin_sinf(x); }
inline float cosf(float x) { return __builtin_cosf(x); }
inline float fabsf(float x) { return __builtin_fabsf(x); }
inline float fmaf(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
inline float fmaxf(float a, float b) { return __builtin_fmaxf(a, b); }
inline float fminf(float a, float b) { return __builtin_fminf(a, b); }
inline float rintf(float x) { return __builtin_rintf(x); }
inline double exp(double x) { return __builtin_exp(x); }
inline double log(double x) { return __builtin_log(x); }
inline double sqrt(double x) { return __builtin_sqrt(x); }
template <class T>
inline T min(T a, T b) {
  return b < a ? b : a;
}
template <class T>
inline T max(T a, T b) {
  return a < b ? b : a;
}

// How the double calls a kernel: with what its parameters point to, addresses of device memory as where that really is.
namespace gpu_double {

template <class T>
struct Parameter {
  __UNSEEN static T of(void* parameter) { return *static_cast<T*>(parameter); }
};
template <class T>
struct Parameter<T*> {
  __UNSEEN static T* of(void* parameter) { return static_cast<T*>(__here->translate(*static_cast<void**>(parameter))); }
};
template <int... places>
struct Places {};
template <int count, int... places>
struct PlacesTo : PlacesTo<count - 1, count - 1, places...> {};
template <int... places>
struct PlacesTo<0, places...> {
  using Type = Places<places...>;
};
template <class... P, int... places>
__UNSEEN void call(void (*kernel)(P...), void** parameters, Places<places...>) {
  kernel(Parameter<P>::of(parameters[places])...);
}
template <class... P>
__UNSEEN const unsigned long* parametersOf(void (*)(P...), unsigned long* count) {
  static const unsigned long bytes[] = {sizeof(P)..., 0};
  *count = sizeof...(P);
  return bytes;
}
template <class... P>
__UNSEEN void call(void (*kernel)(P...), void** parameters) {
  call(kernel, parameters, typename PlacesTo<sizeof...(P)>::Type{});
}

}  // namespace gpu_double

#define GPU_DOUBLE_KERNEL(name)                                                                                                            \
  extern "C" __attribute__((visibility("default"), no_sanitize("thread"))) void gpu_double_kernel_##name(void** parameters) {              \
    gpu_double::call(name, parameters);                                                                                                    \
  }                                                                                                                                        \
  extern "C" __attribute__((visibility("default"), no_sanitize("thread")))                                                                 \
  const unsigned long* gpu_double_parameters_##name(unsigned long* count) {                                                                \
    return gpu_double::parametersOf(name, count);                                                                                          \
  }
