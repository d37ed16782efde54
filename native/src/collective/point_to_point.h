#pragma once

#include <vector>

#include "collective/communicator.h"

namespace troupe::collective {

/// Sends to a rank, which must be receiving as many bytes of the same type. Returns when `data` may be changed; a small
/// message may not have been received by then.
void send(Communicator& group, int to, const uint8_t* data, size_t bytes, DataType type = DataType::UInt8);
void receive(Communicator& group, int from, uint8_t* data, size_t bytes, DataType type = DataType::UInt8);

/// A message to or from a rank.
struct Message {
  int peer;
  bool outgoing;
  uint8_t* data;
  size_t bytes;
  DataType type;
};

/// Sends and receives all of `messages` at once, so that their order among different ranks does not matter; messages of
/// one direction between two ranks are matched in order.
void exchange(Communicator& group, const std::vector<Message>& messages);

}  // namespace troupe::collective
