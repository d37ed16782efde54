#define TROUPE_REDUCTIONS avx2
#include "collective/reduction/reduction.inl"

const troupe::collective::ReductionTable& troupe::collective::avx2Reductions() { return avx2::table; }
