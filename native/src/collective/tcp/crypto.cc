#include "collective/tcp/crypto.h"

#include <cerrno>
#include <cstring>
#include <dlfcn.h>
#include <stdexcept>
#include <sys/random.h>
#include <system_error>
#include <type_traits>

#include "memory/quietly.h"

namespace troupe::collective {
namespace {

// The parts of OpenSSL's interface that are used ("EVP_EncryptInit", "EVP_CIPHER_CTX_ctrl" and "HMAC" in
// https://docs.openssl.org), which have been the same since version 1.1. Node.js holds OpenSSL and exports these functions to
// addons; a program of its own opens the system's. Building needs neither, and no cipher of our own has to be trusted.
struct OpenSsl {
  void* (*EVP_CIPHER_CTX_new)();
  void (*EVP_CIPHER_CTX_free)(void* context);
  const void* (*EVP_aes_256_gcm)();
  int (*EVP_EncryptInit_ex)(void* context, const void* cipher, void* engine, const uint8_t* key, const uint8_t* nonce);
  int (*EVP_EncryptUpdate)(void* context, uint8_t* to, int* written, const uint8_t* from, int bytes);
  int (*EVP_EncryptFinal_ex)(void* context, uint8_t* to, int* written);
  int (*EVP_DecryptInit_ex)(void* context, const void* cipher, void* engine, const uint8_t* key, const uint8_t* nonce);
  int (*EVP_DecryptUpdate)(void* context, uint8_t* to, int* written, const uint8_t* from, int bytes);
  int (*EVP_DecryptFinal_ex)(void* context, uint8_t* to, int* written);
  int (*EVP_CIPHER_CTX_ctrl)(void* context, int what, int number, void* data);
  const void* (*EVP_sha256)();
  uint8_t* (*HMAC)(const void* digest, const void* key, int keyBytes, const uint8_t* text, size_t bytes, uint8_t* to, unsigned* toBytes);
};

constexpr int kGetTag = 0x10, kSetTag = 0x11;  // EVP_CTRL_AEAD_GET_TAG, EVP_CTRL_AEAD_SET_TAG

OpenSsl find() {
  void* from = RTLD_DEFAULT;
  if (dlsym(from, "EVP_aes_256_gcm") == nullptr) {
    for (const char* name : {"libcrypto.so.3", "libcrypto.so.1.1"}) {
      if ((from = dlopen(name, RTLD_NOW | RTLD_LOCAL)) != nullptr) break;
    }
  }
  OpenSsl found{};
  const auto take = [from](auto& function, const char* name) {
    function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(dlsym(from, name));
    if (function == nullptr)
      throw std::runtime_error("encrypted groups need OpenSSL 1.1 or later, which is neither in this program nor on this machine");
  };
#define TROUPE_TAKE(name) take(found.name, #name)
  TROUPE_TAKE(EVP_CIPHER_CTX_new);
  TROUPE_TAKE(EVP_CIPHER_CTX_free);
  TROUPE_TAKE(EVP_aes_256_gcm);
  TROUPE_TAKE(EVP_EncryptInit_ex);
  TROUPE_TAKE(EVP_EncryptUpdate);
  TROUPE_TAKE(EVP_EncryptFinal_ex);
  TROUPE_TAKE(EVP_DecryptInit_ex);
  TROUPE_TAKE(EVP_DecryptUpdate);
  TROUPE_TAKE(EVP_DecryptFinal_ex);
  TROUPE_TAKE(EVP_CIPHER_CTX_ctrl);
  TROUPE_TAKE(EVP_sha256);
  TROUPE_TAKE(HMAC);
#undef TROUPE_TAKE
  return found;
}

const OpenSsl& openSsl() {
  static const OpenSsl found = find();
  return found;
}

void expect(int result) {
  if (result != 1) throw std::runtime_error("OpenSSL could not encrypt");
}

}  // namespace

Digest authenticate(const std::string& key, const std::string& text) {
  Digest digest{};
  unsigned bytes = 0;
  const auto& ssl = openSsl();
  const auto* data = reinterpret_cast<const uint8_t*>(text.data());
  if (ssl.HMAC(ssl.EVP_sha256(), key.data(), static_cast<int>(key.size()), data, text.size(), digest.data(), &bytes) == nullptr) expect(0);
  return digest;
}

bool same(const Digest& a, const Digest& b) {
  uint8_t difference = 0;
  for (size_t i = 0; i < a.size(); i++) difference = static_cast<uint8_t>(difference | (a[i] ^ b[i]));
  return difference == 0;
}

std::string randomBytes(size_t count) {
  std::string bytes(count, '\0');
  if (getrandom(bytes.data(), count, 0) != static_cast<ssize_t>(count)) {
    throw std::system_error(errno, std::generic_category(), "cannot get random numbers");
  }
  return bytes;
}

struct RecordCipher::Context {
  void* handle;
};

RecordCipher::RecordCipher(Use use, const Digest& key) : use_(use), context_(new Context{openSsl().EVP_CIPHER_CTX_new()}) {
  const auto& ssl = openSsl();
  const auto init = use == Use::Seal ? ssl.EVP_EncryptInit_ex : ssl.EVP_DecryptInit_ex;
  expect(init(context_->handle, ssl.EVP_aes_256_gcm(), nullptr, key.data(), nullptr));
}

RecordCipher::~RecordCipher() {
  quietly([&] { openSsl().EVP_CIPHER_CTX_free(context_->handle); });
}

// The nonce is the record's number: no two records of a key have the same.
void RecordCipher::next() {
  uint8_t nonce[12] = {};
  std::memcpy(nonce, &number_, sizeof number_);
  number_++;
  const auto& ssl = openSsl();
  const auto init = use_ == Use::Seal ? ssl.EVP_EncryptInit_ex : ssl.EVP_DecryptInit_ex;
  expect(init(context_->handle, nullptr, nullptr, nullptr, nonce));
}

void RecordCipher::begin() { next(); }

void RecordCipher::sealPart(const uint8_t* from, size_t bytes, uint8_t* to) {
  int written = 0;
  if (bytes > 0) expect(openSsl().EVP_EncryptUpdate(context_->handle, to, &written, from, static_cast<int>(bytes)));
}

void RecordCipher::sealEnd(uint8_t* tag) {
  int written = 0;
  expect(openSsl().EVP_EncryptFinal_ex(context_->handle, tag, &written));
  expect(openSsl().EVP_CIPHER_CTX_ctrl(context_->handle, kGetTag, kTagBytes, tag));
}

bool RecordCipher::open(const uint8_t* from, size_t bytes, const uint8_t* tag, uint8_t* to) {
  const auto& ssl = openSsl();
  next();
  int written = 0;
  uint8_t none[16];
  expect(ssl.EVP_DecryptUpdate(context_->handle, to, &written, from, static_cast<int>(bytes)));
  expect(ssl.EVP_CIPHER_CTX_ctrl(context_->handle, kSetTag, kTagBytes, const_cast<uint8_t*>(tag)));
  return ssl.EVP_DecryptFinal_ex(context_->handle, none, &written) == 1;
}

}  // namespace troupe::collective
