#include "channel/channel.h"

#include <csignal>
#include <cstring>
#include <random>
#include <stdexcept>
#include <string>
#include <sys/mman.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include "check.h"
#include "memory/crash_point.h"

using namespace troupe;
using namespace troupe::channel;
using namespace std::chrono_literals;

namespace {

std::vector<uint8_t> content(uint64_t number, size_t bytes) {
  std::vector<uint8_t> made(bytes);
  for (size_t i = 0; i < bytes; i++) made[i] = static_cast<uint8_t>(number * 31 + i * 7);
  return made;
}

bool send(Writer& writer, uint64_t number, size_t bytes) {
  const auto made = content(number, bytes);
  const Piece pieces[] = {{made.data(), bytes / 2}, {made.data() + bytes / 2, bytes - bytes / 2}};
  return writer.write(static_cast<uint32_t>(number), pieces, 2);
}

bool isIntact(const Message& message) {
  const auto expected = content(message.tag, message.bytes);
  return message.bytes == 0 || std::memcmp(message.data, expected.data(), message.bytes) == 0;
}

/// What two processes of a test share.
struct Board {
  std::atomic<int> steps{0};
  std::atomic<uint64_t> count{0};
  std::atomic<int> ready{0};
  SharedMemoryHandle handle() const { return {pid, fd, name, bytes}; }
  void publish(const SharedMemoryHandle& handle) {
    pid = handle.pid;
    fd = handle.fd;
    bytes = handle.bytes;
    std::strncpy(name, handle.name.c_str(), sizeof name - 1);
    ready = 1;
  }
  pid_t pid;
  int fd;
  char name[64];
  size_t bytes;
};

Board& shareBoard() {
  void* memory = mmap(nullptr, sizeof(Board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  CHECK(memory != MAP_FAILED);
  return *new (memory) Board;
}

Board* current = nullptr;
int lastStep = 0;

void endAtLastStep() {
  if (++current->steps == lastStep) kill(getpid(), SIGKILL);
}

/// Runs a function in a process that is killed at a step of the protocol. Returns whether that step was reached.
bool dieAt(int step, Board& board, const std::function<void()>& body, const std::function<void()>& meanwhile) {
  board.steps = 0;
  const pid_t child = fork();
  if (child == 0) {
    alarm(20);
    current = &board;
    lastStep = step;
    crashPoint = endAtLastStep;
    body();
    _exit(0);
  }
  meanwhile();
  int status = 0;
  waitpid(child, &status, 0);
  CHECK(WIFSIGNALED(status) ? WTERMSIG(status) == SIGKILL : WEXITSTATUS(status) == 0);
  return WIFSIGNALED(status);
}

}  // namespace

TEST("a channel carries messages of random sizes in order to several readers") {
  constexpr uint64_t kMessages = 20'000;
  constexpr uint32_t kReaders = 3;
  Writer writer({16, 4096, kReaders}, nullptr);
  std::vector<std::thread> threads;
  for (uint32_t index = 0; index < kReaders; index++) {
    threads.emplace_back([&writer, index] {
      Reader reader(writer.handle(), index, nullptr);
      Message message;
      for (uint64_t number = 0; number < kMessages; number++) {
        while (!reader.peek(&message)) CHECK(reader.wait(20us) || reader.wait(10s));
        CHECK(message.tag == number);
        CHECK(isIntact(message));
        reader.advance();
        reader.acknowledge();
      }
      CHECK(reader.wait(10s));
      CHECK(reader.isClosed() && !reader.peek(&message));
    });
  }
  std::mt19937 random(3);
  for (uint64_t number = 0; number < kMessages; number++) {
    const size_t bytes = random() % 1000;
    while (!send(writer, number, bytes)) CHECK(writer.waitForRoom(bytes, 10s));
  }
  while (writer.taken() < kMessages) std::this_thread::yield();
  writer.close();
  for (auto& thread : threads) thread.join();
}

TEST("a channel is full when its slowest reader is behind by its messages, or its ring has no room") {
  Writer writer({2, 4096, 2}, nullptr);
  Reader fast(writer.handle(), 0, nullptr), slow(writer.handle(), 1, nullptr);
  CHECK(send(writer, 0, 10) && send(writer, 1, 10));
  CHECK(!send(writer, 2, 10));
  fast.advance();
  fast.acknowledge();
  CHECK(!send(writer, 2, 10));
  slow.advance();
  CHECK(!send(writer, 2, 10));
  slow.acknowledge();
  CHECK(send(writer, 2, 3000));
  CHECK(writer.taken() == 1);
  slow.close();
  fast.advance();
  fast.acknowledge();
  CHECK(!send(writer, 3, 3000));
  CHECK(send(writer, 3, 900));
}

TEST("a message above the limit of its channel and a reader that there is not are refused") {
  Writer writer({2, 4096, 1}, nullptr);
  bool refused = false;
  try {
    send(writer, 0, writer.limit() + 1);
  } catch (const std::length_error&) {
    refused = true;
  }
  CHECK(refused);
  CHECK(send(writer, 0, writer.limit()));
  const auto refusal = [&](uint32_t index) -> std::string {
    try {
      Reader reader(writer.handle(), index, nullptr);
      return "";
    } catch (const std::exception& error) {
      return error.what();
    }
  };
  CHECK(refusal(1).find("none at 1") != std::string::npos);
  {
    Reader first(writer.handle(), 0, nullptr);
    CHECK(refusal(0).find("already") != std::string::npos);
  }
  CHECK(refusal(0).find("was closed") != std::string::npos);
}

TEST("an armed end has its event loop's pipe written to, once") {
  const auto waker = std::make_shared<Waker>();
  Writer writer({1, 4096, 1}, waker);
  Reader reader(writer.handle(), 0, waker);
  char byte;
  CHECK(reader.arm());
  CHECK(send(writer, 0, 8));
  CHECK(!reader.arm());
  CHECK(read(waker->readEnd(), &byte, 1) == 1);
  CHECK(writer.armForRoom(8));
  reader.advance();
  reader.acknowledge();
  CHECK(read(waker->readEnd(), &byte, 1) == 1);
  CHECK(read(waker->readEnd(), &byte, 1) < 0);
  close(waker->readEnd());
}

TEST("a writer killed at any step leaves whole messages, and its readers learn of its death") {
  constexpr uint64_t kMessages = 6;
  bool reached = true;
  for (int step = 1; reached; step++) {
    CHECK(step < 200);
    auto& board = shareBoard();
    reached = dieAt(
        step, board,
        [&] {
          Writer writer({2, 4096, 1}, nullptr);
          board.publish(writer.handle());
          while (board.ready != 2) usleep(50);
          for (uint64_t number = 0; number < kMessages; number++) {
            while (!send(writer, number, 700 + number)) CHECK(writer.waitForRoom(700 + number, 10s));
            board.count = number + 1;
          }
          while (writer.taken() < kMessages) CHECK(writer.waitForRoom(4000, 10ms) || true);
        },
        [&] {
          while (board.ready != 1) usleep(50);
          Reader reader(board.handle(), 0, nullptr);
          board.ready = 2;
          Message message;
          uint64_t number = 0;
          while (reader.wait(10s)) {
            if (!reader.peek(&message)) break;
            CHECK(message.tag == number && message.bytes == 700 + number && isIntact(message));
            reader.advance();
            reader.acknowledge();
            number++;
          }
          CHECK(number >= board.count);
          CHECK(reader.isClosed() ? number == kMessages : !reader.isWriterAlive());
        });
    munmap(&board, sizeof(Board));
  }
}

TEST("a reader killed at any step holds up neither the writer nor the other reader") {
  constexpr uint64_t kMessages = 12;
  bool reached = true;
  for (int step = 1; reached; step++) {
    CHECK(step < 200);
    auto& board = shareBoard();
    Writer writer({3, 4096, 2}, nullptr);
    Reader other(writer.handle(), 1, nullptr);
    board.publish(writer.handle());
    reached = dieAt(
        step, board,
        [&] {
          Reader reader(board.handle(), 0, nullptr);
          Message message;
          for (uint64_t number = 0; number < kMessages / 2; number++) {
            CHECK(reader.wait(10s) && reader.peek(&message));
            CHECK(message.tag == number && isIntact(message));
            reader.advance();
            reader.acknowledge();
          }
          reader.close();
        },
        [&] {
          Message message;
          // A reader that is killed before it has come is one that may still come: who expects it gives it up.
          for (uint64_t number = 0; number < kMessages; number++) {
            const auto end = std::chrono::steady_clock::now() + 10s;
            while (!send(writer, number, 100)) {
              if (board.steps == 1 && step == 1) return;
              writer.waitForRoom(100, 10ms);
              CHECK(std::chrono::steady_clock::now() < end);
            }
            CHECK(other.wait(10s) && other.peek(&message) && message.tag == number);
            other.advance();
            other.acknowledge();
          }
        });
    munmap(&board, sizeof(Board));
  }
}
