#include "channel/channel.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <string>
#include <sys/mman.h>
#include <system_error>
#include <unistd.h>

#include "memory/crash_point.h"

namespace troupe::channel {

/// The control part of a channel's memory. Each end writes to cache lines of its own.
struct Layout {
  struct Slot {
    static constexpr pid_t kExpected = 0, kGone = -1;

    /// The process that reads here.
    alignas(64) std::atomic<pid_t> holder{kExpected};
    alignas(64) std::atomic<uint64_t> position{0};
    std::atomic<uint64_t> taken{0};
    alignas(64) Parker parker;
  };

  uint64_t ringBytes;
  uint32_t messages;
  uint32_t readers;
  pid_t writerPid;
  alignas(64) std::atomic<uint64_t> written{0};
  std::atomic<uint32_t> closed{0};
  alignas(64) Parker writer;

  Slot* slots() { return reinterpret_cast<Slot*>(this + 1); }
};

namespace {

struct Frame {
  uint32_t bytes;
  uint32_t tag;
};

constexpr size_t kMostReaders = 256;
constexpr std::chrono::milliseconds kLivenessInterval{100};

size_t pageBytes() { return static_cast<size_t>(sysconf(_SC_PAGESIZE)); }

size_t controlBytes(uint32_t readers) {
  const size_t bytes = sizeof(Layout) + readers * sizeof(Layout::Slot);
  return (bytes + pageBytes() - 1) / pageBytes() * pageBytes();
}

size_t frameBytes(size_t bytes) { return (sizeof(Frame) + bytes + 7) & ~size_t{7}; }

std::shared_ptr<SharedMemory> allocate(const Writer::Options& options) {
  if (options.readers < 1 || options.readers > kMostReaders) throw std::invalid_argument("a channel has 1 to 256 readers");
  size_t ring = pageBytes();
  while (ring < options.bytes) ring *= 2;
  auto memory = SharedMemory::create(controlBytes(options.readers) + ring, true);
  auto* layout = new (memory->data()) Layout;
  layout->ringBytes = ring;
  layout->messages = options.messages;
  layout->readers = options.readers;
  layout->writerPid = getpid();
  for (uint32_t i = 0; i < options.readers; i++) new (layout->slots() + i) Layout::Slot;
  return memory;
}

}  // namespace

static Layout& layoutIn(const SharedMemory& memory) {
  auto* layout = reinterpret_cast<Layout*>(memory.data());
  const auto isPowerOfTwo = [](uint64_t bytes) { return bytes != 0 && (bytes & (bytes - 1)) == 0; };
  const bool fits = memory.bytes() >= sizeof(Layout) && layout->readers >= 1 && layout->readers <= kMostReaders &&
                    isPowerOfTwo(layout->ringBytes) && layout->ringBytes % pageBytes() == 0 &&
                    memory.bytes() == controlBytes(layout->readers) + layout->ringBytes;
  if (!fits) throw std::runtime_error("this shared memory is no channel");
  return *layout;
}

Mapping::Mapping(std::shared_ptr<SharedMemory> memory)
    : memory_(std::move(memory)), layout_(&layoutIn(*memory_)), ringBytes_(layout_->ringBytes) {
  const size_t control = controlBytes(layout_->readers);
  void* area = mmap(nullptr, 2 * ringBytes_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (area == MAP_FAILED) throw std::system_error(errno, std::generic_category(), "cannot map a channel");
  ring_ = static_cast<uint8_t*>(area);
  populated_ = std::make_unique<PopulatedRanges>(ring_, 2 * ringBytes_);
  for (uint8_t* half : {ring_, ring_ + ringBytes_}) {
    if (mmap(half, ringBytes_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, memory_->fd(), static_cast<off_t>(control)) != MAP_FAILED)
      continue;
    const int error = errno;
    munmap(ring_, 2 * ringBytes_);
    throw std::system_error(error, std::generic_category(), "cannot map a channel");
  }
}

Mapping::~Mapping() { munmap(ring_, 2 * ringBytes_); }

Writer::Writer(const Options& options, std::shared_ptr<Waker> waker)
    : mapping_(std::make_unique<Mapping>(allocate(options))), waker_(std::move(waker)), readers_(options.readers) {
  if (waker_) mapping_->layout().writer.setWaker(waker_->address());
}

Writer::~Writer() { close(); }

size_t Writer::limit() const { return mapping_->ringBytes() - sizeof(Frame) - 8; }

bool Writer::hasRoom(size_t bytes) const {
  auto& layout = mapping_->layout();
  uint64_t position = position_, taken = messages_;
  for (uint32_t i = 0; i < layout.readers; i++) {
    auto& slot = layout.slots()[i];
    if (slot.holder.load(std::memory_order_acquire) == Layout::Slot::kGone) continue;
    position = std::min(position, slot.position.load(std::memory_order_acquire));
    taken = std::min(taken, slot.taken.load(std::memory_order_acquire));
  }
  return messages_ - taken < layout.messages && position_ - position + frameBytes(bytes) <= mapping_->ringBytes();
}

bool Writer::write(uint32_t tag, const Piece* pieces, size_t count) {
  size_t bytes = 0;
  for (size_t i = 0; i < count; i++) bytes += pieces[i].bytes;
  if (bytes > limit()) {
    throw std::length_error("a message of " + std::to_string(bytes) + " bytes into a channel whose messages have at most " +
                            std::to_string(limit()));
  }
  if (!hasRoom(bytes)) return false;
  auto& layout = mapping_->layout();
  CRASH_POINT();
  uint8_t* at = mapping_->at(position_, frameBytes(bytes));
  const Frame frame{static_cast<uint32_t>(bytes), tag};
  std::memcpy(at, &frame, sizeof frame);
  at += sizeof frame;
  CRASH_POINT();
  for (size_t i = 0; i < count; i++) {
    if (pieces[i].bytes > 0) std::memcpy(at, pieces[i].data, pieces[i].bytes);
    at += pieces[i].bytes;
    CRASH_POINT();
  }
  position_ += frameBytes(bytes);
  messages_++;
  layout.written.store(position_, std::memory_order_release);
  CRASH_POINT();
  for (uint32_t i = 0; i < layout.readers; i++) layout.slots()[i].parker.unpark(readers_[i].waker);
  CRASH_POINT();
  return true;
}

uint64_t Writer::taken() const {
  auto& layout = mapping_->layout();
  uint64_t taken = messages_;
  for (uint32_t i = 0; i < layout.readers; i++) {
    auto& slot = layout.slots()[i];
    if (slot.holder.load(std::memory_order_acquire) == Layout::Slot::kGone) continue;
    taken = std::min(taken, slot.taken.load(std::memory_order_acquire));
  }
  return taken;
}

bool Writer::hasReaders() const {
  auto& layout = mapping_->layout();
  for (uint32_t i = 0; i < layout.readers; i++) {
    if (layout.slots()[i].holder.load(std::memory_order_acquire) != Layout::Slot::kGone) return true;
  }
  return false;
}

bool Writer::waitForRoom(size_t bytes, std::chrono::nanoseconds timeout) {
  const auto end = std::chrono::steady_clock::now() + timeout;
  while (!hasRoom(bytes) && hasReaders()) {
    const auto left = end - std::chrono::steady_clock::now();
    if (left.count() <= 0) return false;
    const auto most = std::min<std::chrono::nanoseconds>(left, kLivenessInterval);
    mapping_->layout().writer.park([&] { return hasRoom(bytes) || !hasReaders(); }, most);
    checkReaders();
  }
  return hasReaders();
}

bool Writer::armForRoom(size_t bytes) {
  return mapping_->layout().writer.parkInLoop([&] { return hasRoom(bytes) || !hasReaders(); });
}

void Writer::checkReaders() {
  auto& layout = mapping_->layout();
  for (uint32_t i = 0; i < layout.readers; i++) {
    auto& slot = layout.slots()[i];
    const pid_t holder = slot.holder.load(std::memory_order_acquire);
    if (holder <= 0) continue;
    auto& process = readers_[i].process;
    if (!process) process = std::make_unique<ProcessWatch>(holder);
    if (!process->alive()) slot.holder.store(Layout::Slot::kGone, std::memory_order_release);
  }
}

void Writer::close() {
  auto& layout = mapping_->layout();
  if (layout.closed.exchange(1, std::memory_order_seq_cst) != 0) return;
  for (uint32_t i = 0; i < layout.readers; i++) layout.slots()[i].parker.unpark(readers_[i].waker);
}

Reader::Reader(const SharedMemoryHandle& handle, uint32_t index, std::shared_ptr<Waker> waker)
    : mapping_(std::make_unique<Mapping>(SharedMemory::open(handle))), index_(index), waker_(std::move(waker)),
      writer_(mapping_->layout().writerPid) {
  auto& layout = mapping_->layout();
  if (index >= layout.readers)
    throw std::out_of_range("the channel has " + std::to_string(layout.readers) + " readers, none at " + std::to_string(index));
  auto& slot = layout.slots()[index];
  pid_t expected = Layout::Slot::kExpected;
  CRASH_POINT();
  if (!slot.holder.compare_exchange_strong(expected, getpid(), std::memory_order_acq_rel)) {
    const std::string by = expected == Layout::Slot::kGone ? " was closed" : " is process " + std::to_string(expected) + " already";
    throw std::runtime_error("reader " + std::to_string(index) + " of the channel" + by + "; each reader can be opened once");
  }
  CRASH_POINT();
  if (waker_) slot.parker.setWaker(waker_->address());
  position_ = slot.position.load(std::memory_order_relaxed);
}

Reader::~Reader() { close(); }

bool Reader::isReady() const { return mapping_->layout().written.load(std::memory_order_acquire) != position_; }

bool Reader::isClosed() const { return mapping_->layout().closed.load(std::memory_order_seq_cst) != 0; }

bool Reader::peek(Message* message) const {
  if (!isOpen_ || !isReady()) return false;
  const uint8_t* at = mapping_->at(position_, sizeof(Frame));
  Frame frame;
  std::memcpy(&frame, at, sizeof frame);
  if (frame.bytes > mapping_->ringBytes() - sizeof frame) throw std::runtime_error("a channel holds no message where one begins");
  *message = {mapping_->at(position_, frameBytes(frame.bytes)) + sizeof frame, frame.bytes, frame.tag};
  return true;
}

void Reader::advance() {
  Message message;
  if (!peek(&message)) return;
  CRASH_POINT();
  position_ += frameBytes(message.bytes);
  auto& layout = mapping_->layout();
  layout.slots()[index_].position.store(position_, std::memory_order_release);
  CRASH_POINT();
}

void Reader::acknowledge(uint64_t messages) {
  auto& layout = mapping_->layout();
  layout.slots()[index_].taken.fetch_add(messages, std::memory_order_release);
  CRASH_POINT();
  layout.writer.unpark(writerWaker_);
}

bool Reader::wait(std::chrono::nanoseconds timeout) {
  const auto end = std::chrono::steady_clock::now() + timeout;
  if (spinUntil([this] { return hasNews(); }, std::min<std::chrono::nanoseconds>(timeout, kAwake))) return true;
  while (!hasNews()) {
    const auto left = end - std::chrono::steady_clock::now();
    if (left.count() <= 0) return false;
    parker().park([this] { return hasNews(); }, std::min<std::chrono::nanoseconds>(left, kLivenessInterval));
    if (left > kLivenessInterval && !isWriterAlive()) return hasNews();
  }
  return true;
}

Parker& Reader::parker() const { return mapping_->layout().slots()[index_].parker; }

bool Reader::arm() {
  return parker().parkInLoop([this] { return hasNews(); });
}

void Reader::disarm() { parker().stayAwake(); }

void Reader::close() {
  if (!isOpen_) return;
  isOpen_ = false;
  auto& layout = mapping_->layout();
  layout.slots()[index_].holder.store(Layout::Slot::kGone, std::memory_order_seq_cst);
  layout.writer.unpark(writerWaker_);
}

}  // namespace troupe::channel
