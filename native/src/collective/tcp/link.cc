#include "collective/tcp/link.h"

#include <algorithm>
#include <cerrno>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>

namespace troupe::collective {
namespace {

constexpr size_t kStripedBytes = 1 << 20;  // smaller messages would only pay for more system calls
constexpr int kFarewellMilliseconds = 200;

}  // namespace

bool Link::complete() const {
  return std::all_of(sockets_.begin(), sockets_.end(), [](const Descriptor& socket) { return socket.valid(); });
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
    msghdr message{};
    message.msg_iov = headerLeft > 0 ? parts : parts + 1;
    message.msg_iovlen = (headerLeft > 0 ? 1 : 0) + (stripe.bytes > moved ? 1 : 0);
    const ssize_t count = moveBytes(sockets_[index].get(), &message);
    if (count <= 0) {
      if (count == 0 || (errno != EAGAIN && errno != EINTR)) closed_ = true;
      continue;
    }
    const size_t ofHeader = std::min(headerLeft, static_cast<size_t>(count));
    transfer.headerDone += ofHeader;
    moved += static_cast<size_t>(count) - ofHeader;
    progressed = true;
  }
  return progressed;
}

bool Link::send(Transfer& transfer) {
  return move(transfer, [](int socket, const msghdr* message) { return sendmsg(socket, message, MSG_NOSIGNAL); });
}

bool Link::receive(Transfer& transfer) {
  return move(transfer, [](int socket, msghdr* message) { return recvmsg(socket, message, 0); });
}

void Link::shutDown(const std::string& reason) {
  if (farewells().valid()) ::send(farewells().get(), reason.data(), reason.size(), MSG_NOSIGNAL);
  for (const auto& socket : sockets_) {
    if (socket.valid()) shutdown(socket.get(), SHUT_RDWR);
  }
}

std::string Link::farewell() const {
  std::string reason;
  char text[256];
  for (;;) {
    pollfd readable{farewells().get(), POLLIN, 0};
    if (poll(&readable, 1, kFarewellMilliseconds) <= 0) return reason;
    const ssize_t count = recv(farewells().get(), text, sizeof text, 0);
    if (count <= 0) return reason;
    reason.append(text, static_cast<size_t>(count));
  }
}

}  // namespace troupe::collective
