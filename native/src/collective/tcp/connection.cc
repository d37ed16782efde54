#include "collective/tcp/connection.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <sys/socket.h>

namespace troupe::collective {
namespace {

constexpr size_t kRecordBytes = 64 << 10;  // of plain text at most
using RecordLength = uint32_t;

}  // namespace

Connection::Connection(Descriptor socket, const Digest& own, const Digest& other)
    : socket_(std::move(socket)), sealed_(std::make_unique<Sealed>(own, other)) {}

ssize_t Connection::write(const iovec* parts, size_t count) {
  if (!sealed_) {
    msghdr message{};
    message.msg_iov = const_cast<iovec*>(parts);
    message.msg_iovlen = count;
    return sendmsg(socket_.get(), &message, MSG_NOSIGNAL);
  }
  auto& s = *sealed_;
  if (s.outgoing.empty()) {
    s.outgoing.resize(sizeof(RecordLength) + kRecordBytes + RecordCipher::kTagBytes);
    s.seal.begin();
    size_t length = 0;
    for (size_t i = 0; i < count; i++) {
      const size_t bytes = std::min(parts[i].iov_len, kRecordBytes - length);
      s.seal.sealPart(static_cast<const uint8_t*>(parts[i].iov_base), bytes, s.outgoing.data() + sizeof(RecordLength) + length);
      length += bytes;
    }
    s.seal.sealEnd(s.outgoing.data() + sizeof(RecordLength) + length);
    const auto prefix = static_cast<RecordLength>(length);
    std::memcpy(s.outgoing.data(), &prefix, sizeof prefix);
    s.outgoing.resize(sizeof(RecordLength) + length + RecordCipher::kTagBytes);
    s.standsFor = length;
    s.sent = 0;
  }
  if (!flush()) return -1;
  s.outgoing.clear();
  return static_cast<ssize_t>(s.standsFor);
}

bool Connection::flush() {
  auto& s = *sealed_;
  while (s.sent < s.outgoing.size()) {
    const ssize_t count = send(socket_.get(), s.outgoing.data() + s.sent, s.outgoing.size() - s.sent, MSG_NOSIGNAL);
    if (count <= 0) return false;
    s.sent += static_cast<size_t>(count);
  }
  return true;
}

ssize_t Connection::read(const iovec* parts, size_t count) {
  if (!sealed_) {
    msghdr message{};
    message.msg_iov = const_cast<iovec*>(parts);
    message.msg_iovlen = count;
    return recvmsg(socket_.get(), &message, MSG_DONTWAIT);
  }
  auto& s = *sealed_;
  if (s.given == s.opened.size()) {
    RecordLength length = 0;
    errno = 0;
    if (!fetch(sizeof length)) return errno == 0 ? 0 : -1;
    std::memcpy(&length, s.incoming.data(), sizeof length);
    if (length > kRecordBytes) return 0;
    if (!fetch(sizeof length + length + RecordCipher::kTagBytes)) return errno == 0 ? 0 : -1;
    s.opened.resize(length);
    s.given = 0;
    const uint8_t* sealed = s.incoming.data() + sizeof length;
    const bool genuine = s.open.open(sealed, length, sealed + length, s.opened.data());
    s.incoming.clear();
    if (!genuine) {  // somebody has meddled with the connection, which is thereby over
      s.opened.clear();
      return 0;
    }
  }
  size_t total = 0;
  for (size_t i = 0; i < count; i++) {
    const size_t bytes = std::min(parts[i].iov_len, s.opened.size() - s.given);
    if (bytes > 0) std::memcpy(parts[i].iov_base, s.opened.data() + s.given, bytes);
    s.given += bytes;
    total += bytes;
  }
  return static_cast<ssize_t>(total);
}

// Receives until `incoming` has as many bytes. False with errno 0 at the end.
bool Connection::fetch(size_t bytes) {
  auto& incoming = sealed_->incoming;
  while (incoming.size() < bytes) {
    const size_t had = incoming.size();
    incoming.resize(bytes);
    const ssize_t count = recv(socket_.get(), incoming.data() + had, bytes - had, MSG_DONTWAIT);
    const int error = errno;
    incoming.resize(had + (count > 0 ? static_cast<size_t>(count) : 0));
    errno = count == 0 ? 0 : error;
    if (count <= 0) return false;
  }
  return true;
}

}  // namespace troupe::collective
