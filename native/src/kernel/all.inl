// Every kernel for one instruction set. A source file defines TROUPE_KERNELS (the namespace) and TROUPE_VECTOR_FLOATS,
// is compiled for that set, and includes this. Nothing here may use inline functions of the standard library: the linker
// keeps one copy of those, and it could be one that only newer CPUs run.
#include <math.h>
#include <string.h>
#include <type_traits>
#include <utility>
#if defined(__F16C__)
#include <immintrin.h>
#endif

#include "kernel/kernels.h"

#define TROUPE_TEXT_(x) #x
#define TROUPE_TEXT(x) TROUPE_TEXT_(x)

namespace troupe::kernel::TROUPE_KERNELS {

// Each uses what those before it define.
// clang-format off
#include "kernel/vector.inl"
#include "kernel/transpose.inl"
#include "kernel/integers.inl"
#include "kernel/blocks.inl"
#include "kernel/to_float.inl"
// The operations, a file each; products take several.
#include "kernel/float_rows.inl"
#include "kernel/float_panel.inl"
#include "kernel/quantize.inl"
#include "kernel/from_float.inl"
#include "kernel/kv_cache.inl"
#include "kernel/quantized_rows.inl"
#include "kernel/quantized_panel.inl"
#include "kernel/packed.inl"
#include "kernel/linear.inl"
#include "kernel/attend_chunk.inl"
#include "kernel/attend_query.inl"
#include "kernel/attend_tile.inl"
#include "kernel/elementwise.inl"
#include "kernel/functions.inl"
#include "kernel/rms_norm.inl"
#include "kernel/rotate.inl"
#include "kernel/limits.inl"
// clang-format on

const Kernels table = {
    TROUPE_TEXT(TROUPE_KERNELS),
    kPanelRows,
    preparedBytes,
    panelBytes,
    preparedTile,
    prepare,
    packedBytes,
    pack,
    unpackRow,
    linear,
    storeInCache,
    attentionBytes,
    kSplitTokens,
    partStride,
    attendQuery,
    joinQuery,
    attendTile,
    rmsNorm,
    add,
    siluMultiply,
    rotate,
    toFloat,
    fromFloat,
    addInt8Groups,
    applyToFloats,
    applyToIntegers,
    addMultiple,
    sumInDoubles,
    sum,
    kMultiplyAddsPerRound,
    multiplyAdd,
};

}  // namespace troupe::kernel::TROUPE_KERNELS
