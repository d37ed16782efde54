#define TROUPE_VECTOR_FLOATS 4
#define TROUPE_KERNELS portable
#include "kernel/all.inl"

const troupe::kernel::Kernels* troupe::kernel::portableKernels() { return &portable::table; }
