#include "collective/tcp/link.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <sys/socket.h>
#include <sys/uio.h>

namespace troupe::collective {
namespace {

constexpr size_t kStripedBytes = 1 << 20;  // smaller messages would only pay for more system calls
constexpr size_t kWorthWaking = 128 << 10;
constexpr auto kFarewellWait = std::chrono::milliseconds(200);

struct NoticeHeader {
  uint32_t kind;
  uint32_t bytes;  // that follow
};
constexpr uint32_t kFarewell = 1, kStalled = 2;

}  // namespace

bool Link::complete() const {
  return std::all_of(connections_.begin(), connections_.end(), [](const Connection& connection) { return connection.valid(); });
}

Link::Stripe Link::stripeOf(size_t bytes, size_t stripe) {
  if (bytes < kStripedBytes) return stripe == 0 ? Stripe{0, bytes} : Stripe{bytes, 0};
  const size_t begin = bytes / Transfer::kStripes * stripe;
  return {begin, (stripe + 1 == Transfer::kStripes ? bytes : bytes / Transfer::kStripes * (stripe + 1)) - begin};
}

// The header travels before the first stripe, and in the same system call.
template <class Move>
bool Link::move(Transfer& transfer, Move&& moveBytes) {
  bool progressed = false;
  for (size_t index = 0; index < Transfer::kStripes; index++) {
    const Stripe stripe = stripeOf(transfer.bytes, index);
    size_t& moved = transfer.moved[index];
    const size_t headerLeft = index == 0 ? sizeof(Transfer::Header) - transfer.headerDone : 0;
    if (headerLeft == 0 && moved == stripe.bytes) continue;
    if (index > 0 && !transfer.outgoing && !transfer.headerMoved()) break;  // not before the header has been checked
    iovec parts[2] = {{reinterpret_cast<uint8_t*>(&transfer.header) + transfer.headerDone, headerLeft},
                      {transfer.data + stripe.begin + moved, stripe.bytes - moved}};
    const size_t partCount = (headerLeft > 0 ? 1 : 0) + (stripe.bytes > moved ? 1 : 0);
    const ssize_t count = moveBytes(connections_[connectionOf(transfer, index)], headerLeft > 0 ? parts : parts + 1, partCount);
    if (count <= 0) {
      if (count == 0 || (errno != EAGAIN && errno != EINTR)) closed_ = true;
      continue;
    }
    const size_t ofHeader = std::min(headerLeft, static_cast<size_t>(count));
    transfer.headerDone += ofHeader;
    moved += static_cast<size_t>(count) - ofHeader;
    progressed = true;
  }
  if (progressed && transfer.finished()) (transfer.outgoing ? sent_ : received_)++;
  return progressed;
}

bool Link::send(Transfer& transfer) {
  return move(transfer, [](Connection& connection, const iovec* parts, size_t count) { return connection.write(parts, count); });
}

bool Link::receive(Transfer& transfer) {
  return move(transfer, [](Connection& connection, const iovec* parts, size_t count) { return connection.read(parts, count); });
}

void Link::awaitBytes(size_t connection, size_t bytes) {
  // Of an encrypted record that a message ends in, some may have come already.
  const size_t wanted = connections_[connection].encrypted() ? 1 : std::clamp<size_t>(bytes, 1, kWorthWaking);
  if (awaited_[connection] == wanted) return;
  awaited_[connection] = wanted;
  const int count = static_cast<int>(wanted);
  setsockopt(connections_[connection].get(), SOL_SOCKET, SO_RCVLOWAT, &count, sizeof count);
}

void Link::say(uint32_t kind, const void* text, size_t bytes) {
  const NoticeHeader header{kind, static_cast<uint32_t>(bytes)};
  iovec parts[2] = {{const_cast<NoticeHeader*>(&header), sizeof header}, {const_cast<void*>(text), bytes}};
  // A notice is far smaller than what the kernel holds of a connection that carries nothing else.
  std::lock_guard<std::mutex> lock(saying_);
  if (connections_.back().valid()) connections_.back().write(parts, 2);
}

void Link::sayStalled(const Signature& awaited) {
  const Stall stall{awaited, sent_, received_};
  say(kStalled, &stall, sizeof stall);
}

bool Link::crossed(const Signature& awaited, Signature* found) const {
  std::lock_guard<std::mutex> lock(mutex_);
  if (!stall_ || stall_->sent != received_ || stall_->received != sent_) return false;
  *found = stall_->awaited;
  return stall_->awaited != awaited;
}

bool Link::readNotices() {
  std::lock_guard<std::mutex> lock(mutex_);
  char text[1024];
  for (;;) {
    const iovec part{text, sizeof text};
    const ssize_t count = connections_.back().read(&part, 1);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno == EAGAIN) return true;
    if (count <= 0) break;
    notice_.append(text, static_cast<size_t>(count));
    for (;;) {
      NoticeHeader header;
      if (notice_.size() < sizeof header) break;
      std::memcpy(&header, notice_.data(), sizeof header);
      if (notice_.size() < sizeof header + header.bytes) break;
      const std::string body = notice_.substr(sizeof header, header.bytes);
      notice_.erase(0, sizeof header + header.bytes);
      if (header.kind == kFarewell) reason_ = body;
      if (header.kind == kStalled && body.size() == sizeof(Stall)) {
        Stall stall;
        std::memcpy(&stall, body.data(), sizeof stall);
        stall_ = stall;
      }
    }
  }
  noticesEnded_ = true;
  ended_.notify_all();
  return false;
}

void Link::shutDown(const std::string& reason) {
  say(kFarewell, reason.data(), reason.size());
  for (const auto& connection : connections_) {
    if (connection.valid()) shutdown(connection.get(), SHUT_RDWR);
  }
}

bool Link::ended() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return closed_ || noticesEnded_;
}

std::string Link::farewell() {
  std::unique_lock<std::mutex> lock(mutex_);
  ended_.wait_for(lock, kFarewellWait, [this] { return noticesEnded_; });
  return reason_;
}

}  // namespace troupe::collective
