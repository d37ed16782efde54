#pragma once

// Where the ranks of a communicator of the test double meet: see nccl_double.cc.

#include <algorithm>
#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace gpu_double {

enum class FrameKind : uint32_t { Hello, Ready, Collective, Result, Message, Gone };
enum class Operation : int32_t { AllReduce, Reduce, ReduceScatter, AllGather, Broadcast };

struct FrameHeader {
  FrameKind kind;
  int32_t peer;     // of a hello the own rank, of a collective the root
  uint64_t number;  // of a hello the room, of a collective which one it is
  uint64_t bytes;   // of the body
  struct What {
    Operation operation;
    int32_t type, reduction;  // of a hello type is the number of ranks, of a result it is 0 unless the ranks disagree
  } what;
};

struct Frame {
  FrameHeader header{};
  std::vector<uint8_t> body;
};

/// One end of a connection between a rank and the hub. One thread may send and one receive at a time.
class Connection {
 public:
  explicit Connection(int socket) : socket_(socket) {}
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  /// Null if there is no hub of that name, or `givenUp()`.
  static std::unique_ptr<Connection> to(const std::string& hub, const std::function<bool()>& givenUp);

  bool send(FrameHeader header, const uint8_t* body, size_t bytes);
  /// False at the end, or when `givenUp()`.
  bool receive(Frame* frame, const std::function<bool()>& givenUp);
  void end();

 private:
  bool read(void* data, size_t bytes, const std::function<bool()>& givenUp);

  const int socket_;
};

/// Starts a hub in this process, which ends once its ranks have gone. Returns its name.
std::string startHub();

}  // namespace gpu_double
