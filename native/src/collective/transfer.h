#pragma once

#include <array>

#include "collective/signature.h"

namespace troupe::collective {

/// One message between this rank and another, and how far it has got.
struct Transfer {
  static constexpr size_t kStripes = 4;  // into which a large message is divided where there are several connections

  struct Header {
    Signature signature;
    uint64_t bytes;
  };

  int peer;
  bool outgoing;
  uint8_t* data;
  size_t bytes;
  Signature signature{};
  bool ready = true;  // whether it may begin; those after it between the same ranks wait for it either way

  Header header{};                       // as it goes out or comes in
  size_t headerDone = 0;                 // bytes of it that have been moved
  std::array<size_t, kStripes> moved{};  // bytes of the message, by stripe

  bool headerMoved() const { return headerDone == sizeof(Header); }
  bool finished() const {
    size_t total = 0;
    for (size_t stripe : moved) total += stripe;
    return headerMoved() && total == bytes;
  }
};

}  // namespace troupe::collective
