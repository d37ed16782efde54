#define TROUPE_VECTOR_FLOATS 8
#define TROUPE_KERNELS avx2
#include "kernel/all.inl"

const troupe::kernel::Kernels* troupe::kernel::avx2Kernels() { return &avx2::table; }
