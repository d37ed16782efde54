#include "collective/tcp/pump.h"

#include <cerrno>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

namespace troupe::collective {

Pump::Pump(Doorbell* doorbell) : doorbell_(doorbell), event_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

Pump::~Pump() {
  close();
  if (thread_.joinable()) thread_.join();
}

void Pump::close() {
  stopping_ = true;
  wake();
}

Pump::Line& Pump::add(Descriptor socket, Ring incoming, Ring outgoing) {
  auto line = std::make_unique<Line>();
  line->socket = std::move(socket);
  line->incoming = incoming;
  line->outgoing = outgoing;
  lines_.push_back(std::move(line));
  return *lines_.back();
}

void Pump::start() {
  if (!lines_.empty()) thread_ = std::thread([this] { loop(); });
}

void Pump::wake() {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(event_.get(), &one, sizeof one);
}

bool Pump::fill(Line& line) {
  bool moved = false;
  for (;;) {
    size_t room;
    uint8_t* to = line.incoming.reserve(&room);
    if (room == 0) return moved;
    const ssize_t received = recv(line.socket.get(), to, room, 0);
    if (received > 0) {
      line.incoming.produce(static_cast<size_t>(received));
      moved = true;
    } else {
      if (received == 0 || (errno != EAGAIN && errno != EINTR)) line.closed = true;
      return moved || line.closed;
    }
  }
}

bool Pump::drain(Line& line) {
  bool moved = false;
  for (;;) {
    size_t ready;
    const uint8_t* from = line.outgoing.peek(&ready);
    if (ready == 0) return moved;
    const ssize_t sent = send(line.socket.get(), from, ready, MSG_NOSIGNAL);
    if (sent > 0) {
      line.outgoing.consume(static_cast<size_t>(sent));
      moved = true;
    } else {
      if (errno != EAGAIN && errno != EINTR) line.closed = true;
      return moved || line.closed;
    }
  }
}

void Pump::loop() {
  std::vector<pollfd> wanted;
  for (;;) {
    const bool stopping = stopping_;
    bool moved = false;
    for (auto& line : lines_) {
      if (line->closed) continue;
      moved |= fill(*line);
      moved |= drain(*line);
    }
    if (moved) doorbell_->ring();
    if (stopping) {  // the pass above has handed to the kernel what was queued
      for (auto& line : lines_) shutdown(line->socket.get(), SHUT_RDWR);
      return;
    }

    wanted.assign(1, pollfd{event_.get(), POLLIN, 0});
    for (auto& line : lines_) {
      size_t room, ready;
      line->incoming.reserve(&room);
      line->outgoing.peek(&ready);
      const short events = static_cast<short>((room > 0 ? POLLIN : 0) | (ready > 0 ? POLLOUT : 0));
      wanted.push_back(pollfd{line->closed ? -1 : line->socket.get(), events, 0});
    }
    poll(wanted.data(), wanted.size(), -1);
    uint64_t count;
    [[maybe_unused]] const ssize_t read = ::read(event_.get(), &count, sizeof count);
  }
}

}  // namespace troupe::collective
