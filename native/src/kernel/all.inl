// Every kernel for one instruction set. A source file defines TROUPE_KERNELS (the namespace) and TROUPE_VECTOR_FLOATS,
// is compiled for that set, and includes this. Nothing here may use inline functions of the standard library: the linker
// keeps one copy of those, and it could be one that only newer CPUs run.
#include <math.h>
#include <string.h>
#if defined(__F16C__)
#include <immintrin.h>
#endif

#include "kernel/kernels.h"

#define TROUPE_TEXT_(x) #x
#define TROUPE_TEXT(x) TROUPE_TEXT_(x)

namespace troupe::kernel::TROUPE_KERNELS {

#include "kernel/vector.inl"
// The operations, a file each.
#include "kernel/linear.inl"
#include "kernel/attention.inl"
#include "kernel/elementwise.inl"
#include "kernel/rms_norm.inl"
#include "kernel/rotate.inl"

const Kernels table = {
    TROUPE_TEXT(TROUPE_KERNELS), linear, attention, rmsNorm, add, siluMultiply, rotate, toFloat,
};

}  // namespace troupe::kernel::TROUPE_KERNELS
