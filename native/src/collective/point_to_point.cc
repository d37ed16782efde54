#include "collective/point_to_point.h"

namespace troupe::collective {

void send(Communicator& group, int to, const uint8_t* data, size_t bytes, DataType type) {
  exchange(group, {{to, true, const_cast<uint8_t*>(data), bytes, type}});
}

void receive(Communicator& group, int from, uint8_t* data, size_t bytes, DataType type) {
  exchange(group, {{from, false, data, bytes, type}});
}

void exchange(Communicator& group, const std::vector<Message>& messages) {
  auto& transfers = group.transfers();
  for (const Message& message : messages) {
    const Signature signature{OperationKind::PointToPoint, message.type, Reduction::Sum, 0, -1, message.bytes, 0};
    transfers.push_back({message.peer, message.outgoing, message.data, message.bytes, signature});
  }
  group.transfer(transfers);
}

}  // namespace troupe::collective
