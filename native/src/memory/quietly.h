#pragma once

namespace troupe {

/// Runs what a destructor has to do. What fails there has nobody who could be told, and must not end the process: memory and
/// descriptors go with it, and what others share is put right by those who find its owner gone.
template <class Body>
void quietly(Body&& body) noexcept {
  try {
    body();
  } catch (...) {
  }
}

}  // namespace troupe
