#include "collective/tcp/meeting.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>

namespace troupe::collective {
namespace {

constexpr size_t kNonceBytes = 16;

struct Greeting {
  char magic[8];
  int32_t rank, index;
  char secret[64];  // the token, or a random number and its proof
};

/// A random number, and the proof that who chose it knows the token.
struct Challenge {
  char nonce[kNonceBytes];
  Digest proof;
};

const char* magicOf(bool encrypt) { return encrypt ? "TROUPE4" : "TROUPE3"; }

Greeting greetingOf(bool encrypt, int rank, int index) {
  Greeting greeting{};
  std::memcpy(greeting.magic, magicOf(encrypt), sizeof greeting.magic);
  greeting.rank = rank;
  greeting.index = index;
  return greeting;
}

std::string textOf(const char* purpose, const Greeting& greeting, const std::string& nonces) {
  return std::string(purpose) + "|" + std::to_string(greeting.rank) + "|" + std::to_string(greeting.index) + "|" + nonces;
}

std::string nonceOf(const Challenge& challenge) { return std::string(challenge.nonce, kNonceBytes); }

Challenge challengeOf(const std::string& token, const char* purpose, const Greeting& greeting, const std::string& before) {
  Challenge challenge{};
  const std::string nonce = randomBytes(kNonceBytes);
  std::memcpy(challenge.nonce, nonce.data(), kNonceBytes);
  challenge.proof = authenticate(token, textOf(purpose, greeting, before + nonce));
  return challenge;
}

bool isProven(const Challenge& challenge, const std::string& token, const char* purpose, const Greeting& greeting,
              const std::string& before) {
  return same(challenge.proof, authenticate(token, textOf(purpose, greeting, before + nonceOf(challenge))));
}

}  // namespace

Connection Meeting::call(Descriptor socket, int rank, int index, const Check& check) const {
  Greeting greeting = greetingOf(encrypt_, rank, index);
  if (!encrypt_) {
    std::memcpy(greeting.secret, token_.data(), std::min(token_.size(), sizeof greeting.secret));
    sendAll(socket, &greeting, sizeof greeting, check);
    return Connection(std::move(socket));
  }
  const Challenge own = challengeOf(token_, "caller", greeting, "");
  std::memcpy(greeting.secret, &own, sizeof own);
  sendAll(socket, &greeting, sizeof greeting, check);
  Challenge other{};
  if (!receiveAll(socket, &other, sizeof other, check) || !isProven(other, token_, "called", greeting, nonceOf(own))) {
    throw std::runtime_error("the rank at the other end is not of this group, or does not encrypt");
  }
  const std::string nonces = nonceOf(own) + nonceOf(other);
  return Connection(std::move(socket), authenticate(token_, textOf("key of the caller", greeting, nonces)),
                    authenticate(token_, textOf("key of the called", greeting, nonces)));
}

std::optional<Meeting::Caller> Meeting::answer(Descriptor socket, const Check& check) const {
  Greeting greeting{};
  if (!receiveAll(socket, &greeting, sizeof greeting, check)) return std::nullopt;
  if (std::memcmp(greeting.magic, magicOf(encrypt_), sizeof greeting.magic) != 0) return std::nullopt;
  if (!encrypt_) {
    char expected[sizeof greeting.secret] = {};
    std::memcpy(expected, token_.data(), std::min(token_.size(), sizeof expected));
    if (std::memcmp(greeting.secret, expected, sizeof expected) != 0) return std::nullopt;
    return Caller{greeting.rank, greeting.index, Connection(std::move(socket))};
  }
  Challenge other;
  std::memcpy(&other, greeting.secret, sizeof other);
  if (!isProven(other, token_, "caller", greeting, "")) return std::nullopt;
  const Challenge own = challengeOf(token_, "called", greeting, nonceOf(other));
  sendAll(socket, &own, sizeof own, check);
  const std::string nonces = nonceOf(other) + nonceOf(own);
  return Caller{greeting.rank, greeting.index,
                Connection(std::move(socket), authenticate(token_, textOf("key of the called", greeting, nonces)),
                           authenticate(token_, textOf("key of the caller", greeting, nonces)))};
}

}  // namespace troupe::collective
