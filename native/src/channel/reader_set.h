#pragma once

#include <chrono>
#include <memory>
#include <vector>

#include "channel/channel.h"

namespace troupe::channel {

/// Reading ends of several channels that one thread waits for together.
class ReaderSet {
 public:
  explicit ReaderSet(std::vector<std::shared_ptr<Reader>> readers);

  /// Whether one of them has a message or was closed.
  bool hasNews() const;

  /// Waits until one of them has, briefly awake and then on a futex, at most for `limit`.
  bool wait(std::chrono::nanoseconds limit);

  /// Has the event loop woken when one of them has; false when one has already.
  bool arm();
  void disarm();

 private:
  std::vector<std::shared_ptr<Reader>> readers_;
  std::vector<Parker*> parkers_;
};

}  // namespace troupe::channel
