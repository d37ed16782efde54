#pragma once

#include <chrono>
#include <functional>
#include <string>

namespace troupe::collective {

/// An owned file descriptor.
class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() { reset(); }
  Descriptor(Descriptor&& other) noexcept : fd_(other.release()) {}
  Descriptor& operator=(Descriptor&& other) noexcept;

  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  int release();
  void reset();

 private:
  int fd_ = -1;
};

/// Called between short waits; throws to give up.
using Check = std::function<void()>;

/// Listens on `host` at a port of the system's choice.
Descriptor listenOn(const std::string& host, int* port);
Descriptor connectTo(const std::string& host, int port, const Check& check);
Descriptor acceptFrom(const Descriptor& listener, const Check& check);
void sendAll(const Descriptor& socket, const void* data, size_t bytes, const Check& check);
/// False when the other end closed before `bytes` bytes came.
bool receiveAll(const Descriptor& socket, void* data, size_t bytes, const Check& check);

}  // namespace troupe::collective
