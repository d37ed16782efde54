#include <cstring>
#include <numeric>
#include <sys/socket.h>

#include "check.h"
#include "collective/tcp/connection.h"
#include "collective/tcp/meeting.h"
#include "ranks.h"

using namespace troupe::collective;

namespace {

const Check noCheck = [] {};

std::string hex(const Digest& digest) {
  std::string text;
  for (uint8_t byte : digest) {
    char digits[3];
    std::snprintf(digits, sizeof digits, "%02x", byte);
    text += digits;
  }
  return text;
}

std::pair<Descriptor, Descriptor> connected() {
  int sockets[2];
  CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sockets) == 0);
  return {Descriptor(sockets[0]), Descriptor(sockets[1])};
}

std::vector<uint8_t> readAll(Connection& connection, size_t bytes) {
  std::vector<uint8_t> found(bytes);
  const iovec part{found.data(), bytes};
  const ssize_t count = connection.read(&part, 1);
  found.resize(count > 0 ? static_cast<size_t>(count) : 0);
  return found;
}

}  // namespace

TEST("a MAC is that of the second test case of RFC 4231") {
  CHECK(hex(authenticate("Jefe", "what do ya want for nothing?")) == "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

TEST("two ranks that know the secret meet, read what the other wrote, and send none of it in the clear") {
  auto [first, second] = connected();
  auto [tap, end] = connected();
  std::optional<Meeting::Caller> caller;
  std::thread answering([&, socket = std::move(second)]() mutable { caller = Meeting("secret", true).answer(std::move(socket), noCheck); });
  Connection calling = Meeting("secret", true).call(std::move(first), 3, 2, noCheck);
  answering.join();
  CHECK(caller && caller->rank == 3 && caller->index == 2);
  for (size_t bytes : {size_t{1}, size_t{1000}, size_t{60'000}}) {
    std::vector<uint8_t> sent(bytes);
    std::iota(sent.begin(), sent.end(), uint8_t{7});
    const iovec parts[] = {{sent.data(), bytes / 3}, {sent.data() + bytes / 3, bytes - bytes / 3}};
    CHECK(calling.write(parts, 2) == static_cast<ssize_t>(bytes));
    CHECK(readAll(caller->connection, bytes) == sent);
  }

  const Digest key = authenticate("a", "b");
  Connection sealing(std::move(tap), key, key);
  const std::string text = "nobody else should read this";
  const iovec part{const_cast<char*>(text.data()), text.size()};
  CHECK(sealing.write(&part, 1) == static_cast<ssize_t>(text.size()));
  char seen[256];
  const ssize_t count = recv(end.get(), seen, sizeof seen, 0);
  CHECK(count == static_cast<ssize_t>(sizeof(uint32_t) + text.size() + RecordCipher::kTagBytes));
  CHECK(memmem(seen, static_cast<size_t>(count), "nobody", 6) == nullptr);
}

TEST("a record that was changed, repeated or left out on its way ends the connection") {
  const Digest key = authenticate("a", "b"), other = authenticate("a", "c");
  for (int meddling = 0; meddling < 3; meddling++) {
    auto [out, tapIn] = connected();
    auto [tapOut, in] = connected();
    Connection sender(std::move(out), key, other), receiver(std::move(in), other, key);
    std::vector<std::vector<char>> records;
    for (const char* text : {"one", "two"}) {
      const iovec part{const_cast<char*>(text), 3};
      CHECK(sender.write(&part, 1) == 3);
      std::vector<char> record(64);
      record.resize(static_cast<size_t>(recv(tapIn.get(), record.data(), record.size(), 0)));
      records.push_back(record);
    }
    if (meddling == 0) records[0][5] ^= 1;
    if (meddling == 1) records[1] = records[0];
    if (meddling == 2) records.erase(records.begin());
    for (const auto& record : records) CHECK(send(tapOut.get(), record.data(), record.size(), 0) == static_cast<ssize_t>(record.size()));
    if (meddling == 1) CHECK(readAll(receiver, 3).size() == 3);
    CHECK(readAll(receiver, 3).empty());
  }
}

TEST("a stranger who does not know the secret, or does not encrypt, is turned away") {
  for (const bool encrypts : {true, false}) {
    auto [first, second] = connected();
    std::optional<Meeting::Caller> caller;
    std::thread answering(
        [&, socket = std::move(second)]() mutable { caller = Meeting("secret", true).answer(std::move(socket), noCheck); });
    bool refused = false;
    try {
      Meeting(encrypts ? "guess" : "secret", encrypts).call(std::move(first), 1, 0, noCheck);
    } catch (const std::runtime_error&) {
      refused = true;
    }
    answering.join();
    CHECK(!caller && (refused || !encrypts));
  }
}

TEST("a rank of an encrypted group that leaves says why") {
  std::string reason;
  onRanks(
      2, nodeEach,
      [&](Communicator& group) {
        if (group.rank() == 0) return group.abort("had enough");
        try {
          barrier(group);
        } catch (const CollectiveError& error) {
          reason = error.what();
        }
      },
      true);
  CHECK(reason.find("rank 0 has left: had enough") != std::string::npos);
}
