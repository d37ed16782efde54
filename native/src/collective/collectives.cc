#include "collective/collectives.h"

#include <cstring>

namespace troupe::collective {
namespace {

constexpr size_t kDirectBytes = 32 << 10;

void addInto(float* sum, const float* term, size_t count) {
  for (size_t i = 0; i < count; i++) sum[i] += term[i];
}

// Slices are multiples of 16 floats, so that every rank but the last works on whole cache lines.
size_t sliceStart(size_t count, int size, int rank) {
  const size_t lines = (count + 15) / 16;
  return std::min(count, lines * static_cast<size_t>(rank) / static_cast<size_t>(size) * 16);
}

void allReduceDirect(Communicator& group, float* data, size_t count) {
  const size_t bytes = count * sizeof(float);
  auto* received = reinterpret_cast<float*>(group.scratch(bytes * static_cast<size_t>(group.size())));
  auto& transfers = group.transfers();
  for (int peer = 0; peer < group.size(); peer++) {
    if (peer == group.rank()) continue;
    transfers.push_back({peer, true, reinterpret_cast<uint8_t*>(data), bytes});
    transfers.push_back({peer, false, reinterpret_cast<uint8_t*>(received + static_cast<size_t>(peer) * count), bytes});
  }
  group.transfer(MessageKind::AllReduce, transfers);
  std::memcpy(received + static_cast<size_t>(group.rank()) * count, data, bytes);
  std::memcpy(data, received, bytes);
  for (int peer = 1; peer < group.size(); peer++) addInto(data, received + static_cast<size_t>(peer) * count, count);
}

void allReduceSliced(Communicator& group, float* data, size_t count) {
  const int size = group.size(), rank = group.rank();
  const auto start = [&](int r) { return sliceStart(count, size, r); };
  const size_t own = start(rank), ownCount = start(rank + 1) - own;
  auto* received = reinterpret_cast<float*>(group.scratch(ownCount * sizeof(float) * static_cast<size_t>(size)));

  auto& scatter = group.transfers();
  for (int peer = 0; peer < size; peer++) {
    if (peer == rank) continue;
    scatter.push_back({peer, true, reinterpret_cast<uint8_t*>(data + start(peer)), (start(peer + 1) - start(peer)) * sizeof(float)});
    scatter.push_back({peer, false, reinterpret_cast<uint8_t*>(received + static_cast<size_t>(peer) * ownCount), ownCount * sizeof(float)});
  }
  group.transfer(MessageKind::AllReduce, scatter);
  std::memcpy(received + static_cast<size_t>(rank) * ownCount, data + own, ownCount * sizeof(float));
  std::memcpy(data + own, received, ownCount * sizeof(float));
  for (int peer = 1; peer < size; peer++) addInto(data + own, received + static_cast<size_t>(peer) * ownCount, ownCount);

  auto& gather = group.transfers();
  for (int peer = 0; peer < size; peer++) {
    if (peer == rank) continue;
    gather.push_back({peer, true, reinterpret_cast<uint8_t*>(data + own), ownCount * sizeof(float)});
    gather.push_back({peer, false, reinterpret_cast<uint8_t*>(data + start(peer)), (start(peer + 1) - start(peer)) * sizeof(float)});
  }
  group.transfer(MessageKind::AllReduce, gather);
}

}  // namespace

void allReduceSum(Communicator& group, float* data, size_t count) {
  if (group.size() == 1 || count == 0) return;
  if (count * sizeof(float) <= kDirectBytes) {
    allReduceDirect(group, data, count);
  } else {
    allReduceSliced(group, data, count);
  }
}

void allGather(Communicator& group, const uint8_t* in, const size_t* bytes, uint8_t* out) {
  auto& transfers = group.transfers();
  uint8_t* slice = out;
  for (int peer = 0; peer < group.size(); peer++) {
    if (peer == group.rank()) {
      if (slice != in && bytes[peer] > 0) std::memmove(slice, in, bytes[peer]);
    } else {
      if (bytes[group.rank()] > 0) transfers.push_back({peer, true, const_cast<uint8_t*>(in), bytes[group.rank()]});
      if (bytes[peer] > 0) transfers.push_back({peer, false, slice, bytes[peer]});
    }
    slice += bytes[peer];
  }
  group.transfer(MessageKind::AllGather, transfers);
}

void allToAll(Communicator& group, const uint8_t* in, const size_t* sendBytes, uint8_t* out, const size_t* receiveBytes) {
  auto& transfers = group.transfers();
  const uint8_t* from = in;
  uint8_t* to = out;
  for (int peer = 0; peer < group.size(); peer++) {
    if (peer == group.rank()) {
      if (sendBytes[peer] > 0) std::memcpy(to, from, sendBytes[peer]);
    } else {
      if (sendBytes[peer] > 0) transfers.push_back({peer, true, const_cast<uint8_t*>(from), sendBytes[peer]});
      if (receiveBytes[peer] > 0) transfers.push_back({peer, false, to, receiveBytes[peer]});
    }
    from += sendBytes[peer];
    to += receiveBytes[peer];
  }
  group.transfer(MessageKind::Exchange, transfers);
}

void send(Communicator& group, int to, const uint8_t* data, size_t bytes) {
  auto& transfers = group.transfers();
  transfers.push_back({to, true, const_cast<uint8_t*>(data), bytes});
  group.transfer(MessageKind::PointToPoint, transfers);
}

void receive(Communicator& group, int from, uint8_t* data, size_t bytes) {
  auto& transfers = group.transfers();
  transfers.push_back({from, false, data, bytes});
  group.transfer(MessageKind::PointToPoint, transfers);
}

}  // namespace troupe::collective
