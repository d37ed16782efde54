#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "device/storage.h"

namespace troupe {

/// Part of a storage, which stays alive as long as the region; none of any by default.
struct Region {
  std::shared_ptr<Storage> storage;
  uint8_t* data = nullptr;
  size_t bytes = 0;

  /// The GPU it is on, or null.
  std::shared_ptr<cuda::Gpu> gpu() const { return storage ? storage->gpu() : nullptr; }
  /// Throws std::runtime_error if it lies in a file that was changed since it was mapped.
  void expectUnchanged() const {
    if (const auto file = storage ? storage->file() : nullptr) file->expectUnchanged();
  }
};

}  // namespace troupe
