#include "channel/reader_set.h"

#include <algorithm>

namespace troupe::channel {

ReaderSet::ReaderSet(std::vector<std::shared_ptr<Reader>> readers) : readers_(std::move(readers)) {
  for (const auto& reader : readers_) parkers_.push_back(&reader->parker());
}

bool ReaderSet::hasNews() const {
  return std::any_of(readers_.begin(), readers_.end(), [](const auto& reader) { return reader->hasNews(); });
}

bool ReaderSet::wait(std::chrono::nanoseconds limit) {
  const auto ready = [this] { return hasNews(); };
  if (spinUntil(ready, std::min<std::chrono::nanoseconds>(limit, kAwake))) return true;
  parkAll(parkers_, ready, limit);
  return hasNews();
}

bool ReaderSet::arm() {
  for (const auto& reader : readers_) {
    if (reader->arm()) continue;
    disarm();
    return false;
  }
  return true;
}

void ReaderSet::disarm() {
  for (const auto& reader : readers_) reader->disarm();
}

}  // namespace troupe::channel
