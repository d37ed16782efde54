#include "hub.h"

#include <atomic>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <map>
#include <mutex>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <thread>
#include <unistd.h>

namespace gpu_double {
namespace {

constexpr int kCheckMilliseconds = 2;

sockaddr_un addressOf(const std::string& name, socklen_t* length) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path + 1, name.data(), name.size());  // an abstract name, which leaves no file
  *length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  return address;
}

// Element types by NCCL's numbers.
double readElement(const uint8_t* from, int type) {
  const auto as = [from](auto value) {
    std::memcpy(&value, from, sizeof value);
    return value;
  };
  switch (type) {
    case 0: return as(int8_t{});
    case 1: return as(uint8_t{});
    case 2: return as(int32_t{});
    case 6: return static_cast<double>(as(_Float16{}));
    case 7: return as(float{});
    default: {  // bfloat16
      const uint32_t wide = static_cast<uint32_t>(as(uint16_t{})) << 16;
      float value;
      std::memcpy(&value, &wide, sizeof value);
      return value;
    }
  }
}

void writeElement(uint8_t* to, int type, double value) {
  const auto put = [to](auto element) { std::memcpy(to, &element, sizeof element); };
  switch (type) {
    case 0: return put(static_cast<int8_t>(static_cast<int64_t>(value)));
    case 1: return put(static_cast<uint8_t>(static_cast<int64_t>(value)));
    case 2: return put(static_cast<int32_t>(static_cast<int64_t>(value)));
    case 6: return put(static_cast<_Float16>(value));
    case 7: return put(static_cast<float>(value));
    default: {
      const auto narrow = static_cast<float>(value);
      uint32_t bits;
      std::memcpy(&bits, &narrow, sizeof bits);
      return put(static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16));
    }
  }
}

template <class Number>
Number join(Number a, Number b, int reduction) {
  switch (reduction) {
    case 1: return a * b;
    case 2: return std::max(a, b);
    case 3: return std::min(a, b);
    default: return a + b;
  }
}

std::vector<uint8_t> reduced(const std::vector<std::vector<uint8_t>>& given, int type, int reduction) {
  static constexpr size_t widths[] = {1, 1, 4, 4, 8, 8, 2, 4, 8, 2};
  const size_t width = widths[type];
  std::vector<uint8_t> result(given[0].size());
  for (size_t at = 0; at < result.size(); at += width) {
    if (type == 4) {  // 64 bits do not fit a double, and wrap around
      uint64_t value = 0;
      for (size_t rank = 0; rank < given.size(); rank++) {
        int64_t own;
        std::memcpy(&own, given[rank].data() + at, sizeof own);
        if (reduction == 2 || reduction == 3) {
          value = static_cast<uint64_t>(rank == 0 ? own : join(static_cast<int64_t>(value), own, reduction));
        } else {
          value = rank == 0 ? static_cast<uint64_t>(own) : join(value, static_cast<uint64_t>(own), reduction);
        }
      }
      if (reduction == 4) value = static_cast<uint64_t>(static_cast<int64_t>(value) / static_cast<int64_t>(given.size()));
      std::memcpy(result.data() + at, &value, sizeof value);
      continue;
    }
    double value = readElement(given[0].data() + at, type);
    for (size_t rank = 1; rank < given.size(); rank++) value = join(value, readElement(given[rank].data() + at, type), reduction);
    writeElement(result.data() + at, type, reduction == 4 ? value / static_cast<double>(given.size()) : value);
  }
  return result;
}

/// A rank as the hub sees it. What is for it waits in a queue of its own, so that no rank holds up another.
struct Member {
  explicit Member(int socket) : connection(socket) {}

  Connection connection;
  uint64_t room = 0;
  int rank = -1;
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<Frame> outgoing;
  bool gone = false;

  void give(FrameHeader header, std::vector<uint8_t> body) {
    {
      std::lock_guard<std::mutex> lock(mutex);
      outgoing.push_back({header, std::move(body)});
    }
    changed.notify_one();
  }
};

struct Room {
  int size = 0;
  std::map<int, std::shared_ptr<Member>> members;
  std::map<int, std::string> devices;
  struct Meeting {
    std::map<int, std::vector<uint8_t>> given;
    FrameHeader first{};
    bool disagrees = false;
  };
  std::map<uint64_t, Meeting> meetings;
};

class Hub : public std::enable_shared_from_this<Hub> {
 public:
  explicit Hub(int listener) : listener_(listener) {}
  ~Hub() { close(listener_); }

  void accept() {
    bool served = false;
    for (;;) {
      pollfd ready{listener_, POLLIN, 0};
      if (poll(&ready, 1, 100) > 0) {
        const int socket = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
        if (socket < 0) continue;
        served = true;
        members_++;
        const auto member = std::make_shared<Member>(socket);
        std::thread([hub = shared_from_this(), member] { hub->read(member); }).detach();
        std::thread([hub = shared_from_this(), member] { hub->write(*member); }).detach();
      } else if (served && members_ == 0) {
        return;
      }
    }
  }

 private:
  void read(const std::shared_ptr<Member>& member) {
    Frame frame;
    while (member->connection.receive(&frame, [] { return false; })) {
      std::lock_guard<std::mutex> lock(mutex_);
      if (frame.header.kind == FrameKind::Hello) {
        meet(member, frame);
      } else if (frame.header.kind == FrameKind::Message) {
        const auto& members = rooms_[member->room].members;
        const auto to = members.find(frame.header.peer);
        frame.header.peer = member->rank;
        if (to != members.end()) to->second->give(frame.header, std::move(frame.body));
      } else {
        take(*member, frame);
      }
    }
    std::lock_guard<std::mutex> lock(mutex_);
    auto& room = rooms_[member->room];
    room.members.erase(member->rank);
    for (const auto& [rank, other] : room.members) other->give({FrameKind::Gone, member->rank, 0, 0, {}}, {});
    {
      std::lock_guard<std::mutex> own(member->mutex);
      member->gone = true;
    }
    member->changed.notify_one();
    members_--;
  }

  void write(Member& member) {
    for (;;) {
      Frame frame;
      {
        std::unique_lock<std::mutex> lock(member.mutex);
        member.changed.wait(lock, [&] { return member.gone || !member.outgoing.empty(); });
        if (member.outgoing.empty()) return;
        frame = std::move(member.outgoing.front());
        member.outgoing.pop_front();
      }
      if (!member.connection.send(frame.header, frame.body.data(), frame.body.size())) return;
    }
  }

  void meet(const std::shared_ptr<Member>& member, const Frame& hello) {
    member->room = hello.header.number;
    member->rank = hello.header.peer;
    auto& room = rooms_[member->room];
    room.size = hello.header.what.type;
    room.members[member->rank] = member;
    room.devices[member->rank] = std::string(hello.body.begin(), hello.body.end());
    if (static_cast<int>(room.members.size()) < room.size) return;
    std::string refusal;
    for (const auto& [rank, device] : room.devices) {
      for (const auto& [other, same] : room.devices) {
        if (other > rank && device == same) {
          refusal = "Duplicate GPU detected : rank " + std::to_string(rank) + " and rank " + std::to_string(other) +
                    " both on CUDA device " + device;
        }
      }
    }
    for (const auto& [rank, other] : room.members) other->give({FrameKind::Ready, 0, 0, 0, {}}, {refusal.begin(), refusal.end()});
  }

  void take(const Member& member, Frame& frame) {
    auto& room = rooms_[member.room];
    auto& meeting = room.meetings[frame.header.number];
    const auto& what = frame.header.what;
    if (meeting.given.empty()) meeting.first = frame.header;
    const auto& first = meeting.first.what;
    meeting.disagrees = meeting.disagrees || what.operation != first.operation || what.type != first.type ||
                        what.reduction != first.reduction || frame.header.peer != meeting.first.peer;
    meeting.given[member.rank] = std::move(frame.body);
    if (static_cast<int>(meeting.given.size()) < room.size) return;
    answer(room, meeting);
    room.meetings.erase(frame.header.number);
  }

  static void answer(const Room& room, const Room::Meeting& meeting) {
    const auto& what = meeting.first.what;
    const int root = meeting.first.peer;
    std::vector<std::vector<uint8_t>> given;
    for (const auto& [rank, bytes] : meeting.given) given.push_back(bytes);
    bool disagrees = meeting.disagrees;
    for (const auto& bytes : given) disagrees = disagrees || (what.operation != Operation::Broadcast && bytes.size() != given[0].size());
    std::vector<uint8_t> all;
    if (!disagrees && what.operation == Operation::Broadcast) all = given[static_cast<size_t>(root)];
    if (!disagrees && what.operation == Operation::AllGather) {
      for (const auto& bytes : given) all.insert(all.end(), bytes.begin(), bytes.end());
    }
    if (!disagrees && what.operation <= Operation::ReduceScatter) all = reduced(given, what.type, what.reduction);
    for (const auto& [rank, member] : room.members) {
      std::vector<uint8_t> part = all;
      if (what.operation == Operation::Reduce && rank != root) part.clear();
      if (what.operation == Operation::ReduceScatter) {
        const auto share = static_cast<std::ptrdiff_t>(all.size() / static_cast<size_t>(room.size));
        part.assign(all.begin() + rank * share, all.begin() + (rank + 1) * share);
      }
      FrameHeader header{FrameKind::Result, 0, 0, 0, {}};
      header.what.type = disagrees ? 1 : 0;
      member->give(header, std::move(part));
    }
  }

  const int listener_;
  std::atomic<int> members_{0};
  std::mutex mutex_;
  std::map<uint64_t, Room> rooms_;
};

}  // namespace

Connection::~Connection() { close(socket_); }

std::unique_ptr<Connection> Connection::to(const std::string& hub, const std::function<bool()>& givenUp) {
  socklen_t length;
  const sockaddr_un address = addressOf(hub, &length);
  const int socket = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (socket < 0 || givenUp() || connect(socket, reinterpret_cast<const sockaddr*>(&address), length) != 0) {
    close(socket);
    return nullptr;
  }
  return std::make_unique<Connection>(socket);
}

bool Connection::send(FrameHeader header, const uint8_t* body, size_t bytes) {
  header.bytes = bytes;
  const auto write = [this](const void* data, size_t count) {
    const auto* from = static_cast<const uint8_t*>(data);
    while (count > 0) {
      const ssize_t sent = ::send(socket_, from, count, MSG_NOSIGNAL);
      if (sent <= 0) return false;
      from += sent;
      count -= static_cast<size_t>(sent);
    }
    return true;
  };
  return write(&header, sizeof header) && write(body, bytes);
}

bool Connection::read(void* data, size_t bytes, const std::function<bool()>& givenUp) {
  auto* to = static_cast<uint8_t*>(data);
  while (bytes > 0) {
    pollfd ready{socket_, POLLIN, 0};
    if (givenUp()) return false;
    if (poll(&ready, 1, kCheckMilliseconds) == 0) continue;
    const ssize_t received = recv(socket_, to, bytes, 0);
    if (received <= 0) return false;
    to += received;
    bytes -= static_cast<size_t>(received);
  }
  return true;
}

bool Connection::receive(Frame* frame, const std::function<bool()>& givenUp) {
  if (!read(&frame->header, sizeof frame->header, givenUp)) return false;
  frame->body.resize(frame->header.bytes);
  return read(frame->body.data(), frame->body.size(), givenUp);
}

void Connection::end() { shutdown(socket_, SHUT_RDWR); }

std::string startHub() {
  static std::atomic<int> count{0};
  const std::string name = "troupe-nccl-double-" + std::to_string(getpid()) + "-" + std::to_string(count++);
  socklen_t length;
  const sockaddr_un address = addressOf(name, &length);
  const int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (listener < 0 || bind(listener, reinterpret_cast<const sockaddr*>(&address), length) != 0 || listen(listener, 64) != 0) return "";
  std::thread([hub = std::make_shared<Hub>(listener)] { hub->accept(); }).detach();
  return name;
}

}  // namespace gpu_double
