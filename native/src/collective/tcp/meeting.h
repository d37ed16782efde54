#pragma once

#include <optional>

#include "collective/tcp/connection.h"

namespace troupe::collective {

/// How two ranks meet on a connection. In the clear the caller says who it is and shows the group's secret. Encrypted, both
/// prove by a MAC over fresh random numbers that they know it, and take the connection's keys from it and these numbers, so
/// that no connection has the keys of another.
class Meeting {
 public:
  Meeting(std::string token, bool encrypt) : token_(std::move(token)), encrypt_(encrypt) {}

  /// The caller's side. Throws std::runtime_error if the other end does not know the secret.
  Connection call(Descriptor socket, int rank, int index, const Check& check) const;

  /// The rank that called, on which of their connections.
  struct Caller {
    int rank, index;
    Connection connection;
  };
  /// The side of who was called; nothing if that was a stranger.
  std::optional<Caller> answer(Descriptor socket, const Check& check) const;

 private:
  const std::string token_;
  const bool encrypt_;
};

}  // namespace troupe::collective
