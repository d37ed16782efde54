#include "memory/populate.h"

#include <sys/mman.h>
#include <vector>

#include "check.h"
#include "memory/shared_memory.h"

using namespace troupe;

namespace {

constexpr size_t kPage = 4096;

/// Whether each page of a segment has been taken.
std::vector<unsigned char> pagesOf(const SharedMemory& memory) {
  std::vector<unsigned char> present(memory.bytes() / kPage);
  CHECK(mincore(memory.data(), memory.bytes(), present.data()) == 0);
  for (auto& page : present) page &= 1;
  return present;
}

bool canPopulate() {
  const auto memory = SharedMemory::create(kPage, false);
  populate(memory->data(), kPage);
  return pagesOf(*memory)[0] == 1;
}

}  // namespace

TEST("what of a mapping is about to be used is populated, and what lies far from it is not") {
  if (!canPopulate()) return;  // before Linux 5.14
  const auto memory = SharedMemory::create(256 * kPage, false);
  memory->populate(100 * kPage + 7, 20 * kPage);
  auto present = pagesOf(*memory);
  for (size_t page = 100; page <= 120; page++) CHECK(present[page] == 1);
  CHECK(present[60] == 0);
  CHECK(present[160] == 0);
  memory->populate(0, 2 * kPage);  // is left to be touched
  memory->populate(250 * kPage, 6 * kPage);
  present = pagesOf(*memory);
  CHECK(present[0] == 0);
  CHECK(present[255] == 1);
}

TEST("a range whose pages were taken away is populated again in another epoch only") {
  if (!canPopulate()) return;
  const auto memory = SharedMemory::create(64 * kPage, false);
  memory->populate(0, memory->bytes(), 1);
  CHECK(madvise(memory->data(), memory->bytes(), MADV_REMOVE) == 0);
  memory->populate(0, memory->bytes(), 1);
  CHECK(pagesOf(*memory)[30] == 0);
  memory->populate(0, memory->bytes(), 3);
  CHECK(pagesOf(*memory)[30] == 1);
}
