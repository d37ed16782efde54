#define TROUPE_VECTOR_FLOATS 16
#define TROUPE_KERNELS avx512
#include "kernel/all.inl"

const troupe::kernel::Kernels* troupe::kernel::avx512Kernels() { return &avx512::table; }
