#pragma once

#include <memory>
#include <sys/uio.h>
#include <vector>

#include "collective/tcp/crypto.h"
#include "collective/tcp/socket.h"

namespace troupe::collective {

/// One TCP connection between two ranks, in the clear or encrypted, which never blocks. One thread may write and read at a
/// time, and a second one if it uses neither what the first does.
class Connection {
 public:
  Connection() = default;
  explicit Connection(Descriptor socket) : socket_(std::move(socket)) {}
  /// Encrypted: with a key for each direction.
  Connection(Descriptor socket, const Digest& own, const Digest& other);

  bool valid() const { return socket_.valid(); }
  int get() const { return socket_.get(); }
  bool encrypted() const { return sealed_ != nullptr; }

  /// As sendmsg and recvmsg do: how many bytes have been taken or given, -1 with errno EAGAIN where none can be now, and 0
  /// from read() at the end. After -1 write() must be given the same bytes again.
  ssize_t write(const iovec* parts, size_t count);
  ssize_t read(const iovec* parts, size_t count);

 private:
  struct Sealed {
    Sealed(const Digest& own, const Digest& other) : seal(RecordCipher::Use::Seal, own), open(RecordCipher::Use::Open, other) {}

    RecordCipher seal, open;
    std::vector<uint8_t> outgoing;  // a sealed record, or what is left of it
    size_t sent = 0;                // bytes of it
    size_t standsFor = 0;           // bytes that the record holds and that write() has not yet said were taken
    std::vector<uint8_t> incoming;  // a record as far as it has come
    std::vector<uint8_t> opened;
    size_t given = 0;  // bytes of `opened`
  };

  bool flush();
  bool fetch(size_t bytes);

  Descriptor socket_;
  std::unique_ptr<Sealed> sealed_;
};

}  // namespace troupe::collective
