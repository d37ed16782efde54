#define TROUPE_REDUCTIONS portable
#include "collective/reduction/reduction.inl"

const troupe::collective::ReductionTable& troupe::collective::portableReductions() { return portable::table; }
