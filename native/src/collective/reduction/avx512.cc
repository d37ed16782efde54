#define TROUPE_REDUCTIONS avx512
#include "collective/reduction/reduction.inl"

const troupe::collective::ReductionTable& troupe::collective::avx512Reductions() { return avx512::table; }
