#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace troupe::collective {

using Digest = std::array<uint8_t, 32>;

/// HMAC-SHA-256 (RFC 2104). Throws std::runtime_error where there is no OpenSSL.
Digest authenticate(const std::string& key, const std::string& text);
/// Compares in a time that does not tell where the two differ.
bool same(const Digest& a, const Digest& b);
std::string randomBytes(size_t count);

/// AES-256-GCM (NIST SP 800-38D) of records that are numbered from 0: sealed in order at one end and opened in the same order
/// at the other. A key must be used in one direction of one connection only.
class RecordCipher {
 public:
  static constexpr size_t kTagBytes = 16;

  enum class Use { Seal, Open };
  RecordCipher(Use use, const Digest& key);
  ~RecordCipher();
  RecordCipher(const RecordCipher&) = delete;
  RecordCipher& operator=(const RecordCipher&) = delete;

  /// `to` takes as many bytes, and then the tag.
  void begin();
  void sealPart(const uint8_t* from, size_t bytes, uint8_t* to);
  void sealEnd(uint8_t* tag);
  /// False if the record is not what was sealed.
  bool open(const uint8_t* from, size_t bytes, const uint8_t* tag, uint8_t* to);

 private:
  void next();

  const Use use_;
  struct Context;
  std::unique_ptr<Context> context_;
  uint64_t number_ = 0;
};

}  // namespace troupe::collective
