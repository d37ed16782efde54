#include "collective/tcp/socket.h"

#include <algorithm>
#include <arpa/inet.h>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <memory>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdexcept>
#include <sys/socket.h>
#include <system_error>
#include <unistd.h>
#include <utility>

namespace troupe::collective {
namespace {

constexpr int kCheckMilliseconds = 50;

using AddressList = std::unique_ptr<addrinfo, decltype(&freeaddrinfo)>;

AddressList resolve(const std::string& host, int port) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int failure = getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found);
  if (failure != 0) throw std::runtime_error("cannot resolve host " + host + ": " + gai_strerror(failure));
  return AddressList(found, freeaddrinfo);
}

std::system_error socketError(const std::string& what) { return std::system_error(errno, std::generic_category(), what); }

void prepare(int fd) {
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  const int idleSeconds = 5, betweenSeconds = 2, probes = 3;
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idleSeconds, sizeof idleSeconds);
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &betweenSeconds, sizeof betweenSeconds);
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
  fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

void waitFor(int fd, short events, const Check& check) {
  for (;;) {
    check();
    pollfd wanted{fd, events, 0};
    if (poll(&wanted, 1, kCheckMilliseconds) > 0) return;
  }
}

}  // namespace

Descriptor& Descriptor::operator=(Descriptor&& other) noexcept {
  if (this != &other) {
    reset();
    fd_ = other.release();
  }
  return *this;
}

int Descriptor::release() { return std::exchange(fd_, -1); }

void Descriptor::reset() {
  if (fd_ >= 0) close(release());
}

Descriptor listenOn(const std::string& host, int* port) {
  const auto addresses = resolve(host, 0);
  Descriptor listener(socket(addresses->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!listener.valid() || bind(listener.get(), addresses->ai_addr, addresses->ai_addrlen) != 0 || listen(listener.get(), 128) != 0) {
    throw socketError("cannot listen on " + host);
  }
  sockaddr_storage bound{};
  socklen_t length = sizeof bound;
  getsockname(listener.get(), reinterpret_cast<sockaddr*>(&bound), &length);
  *port = ntohs(bound.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6*>(&bound)->sin6_port
                                            : reinterpret_cast<sockaddr_in*>(&bound)->sin_port);
  return listener;
}

Descriptor connectTo(const std::string& host, int port, const Check& check) {
  const auto addresses = resolve(host, port);
  Descriptor connection(socket(addresses->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!connection.valid()) throw socketError("cannot open a socket");
  prepare(connection.get());
  const std::string where = host + ":" + std::to_string(port);
  if (connect(connection.get(), addresses->ai_addr, addresses->ai_addrlen) != 0) {
    if (errno != EINPROGRESS) throw socketError("cannot connect to " + where);
    waitFor(connection.get(), POLLOUT, check);
    int failure = 0;
    socklen_t length = sizeof failure;
    getsockopt(connection.get(), SOL_SOCKET, SO_ERROR, &failure, &length);
    if (failure != 0) throw std::system_error(failure, std::generic_category(), "cannot connect to " + where);
  }
  return connection;
}

Descriptor acceptFrom(const Descriptor& listener, const Check& check) {
  for (;;) {
    waitFor(listener.get(), POLLIN, check);
    Descriptor connection(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!connection.valid()) continue;
    prepare(connection.get());
    return connection;
  }
}

void sendAll(const Descriptor& socket, const void* data, size_t bytes, const Check& check) {
  const auto* from = static_cast<const uint8_t*>(data);
  while (bytes > 0) {
    const ssize_t sent = send(socket.get(), from, bytes, MSG_NOSIGNAL);
    if (sent > 0) {
      from += sent;
      bytes -= static_cast<size_t>(sent);
    } else if (errno == EAGAIN) {
      waitFor(socket.get(), POLLOUT, check);
    } else {
      throw socketError("cannot send to a rank");
    }
  }
}

bool receiveAll(const Descriptor& socket, void* data, size_t bytes, const Check& check) {
  auto* to = static_cast<uint8_t*>(data);
  while (bytes > 0) {
    const ssize_t received = recv(socket.get(), to, bytes, 0);
    if (received > 0) {
      to += received;
      bytes -= static_cast<size_t>(received);
    } else if (received < 0 && errno == EAGAIN) {
      waitFor(socket.get(), POLLIN, check);
    } else {
      return false;
    }
  }
  return true;
}

}  // namespace troupe::collective
