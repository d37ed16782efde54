#define TROUPE_VECTOR_FLOATS 8
#define TROUPE_KERNELS avxvnni
#include "kernel/all.inl"

const troupe::kernel::Kernels* troupe::kernel::avxvnniKernels() { return &avxvnni::table; }
