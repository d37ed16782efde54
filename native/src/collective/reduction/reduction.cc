#include "collective/reduction/reduction.h"

#include <cstring>
#include <stdexcept>

#include "kernel/kernels.h"

namespace troupe::collective {
namespace {

const ReductionTable& choose() {
#ifdef TROUPE_X86
  const char* name = kernel::kernels().name;
  if (std::strcmp(name, "portable") == 0) return portableReductions();
  return std::strcmp(name, "avx2") == 0 ? avx2Reductions() : avx512Reductions();
#else
  return portableReductions();
#endif
}

}  // namespace

Reduce reduceOf(DataType type, Reduction reduction) {
  static const ReductionTable& table = choose();
  const Reduce found = table.entries[static_cast<int>(type)][static_cast<int>(reduction)];
  if (found == nullptr) throw std::invalid_argument("bytes (uint8) cannot be reduced; use int8, int32, int64 or a float type");
  return found;
}

}  // namespace troupe::collective
