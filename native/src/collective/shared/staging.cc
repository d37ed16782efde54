#include "collective/shared/staging.h"

#include <cstring>
#include <sched.h>

#include "collective/communicator.h"

namespace troupe::collective {
namespace {

constexpr size_t kKeptSegments = 16;

}  // namespace

Staging::Staging(Communicator& group, std::vector<int> ranks, std::vector<Inbox*> inboxes)
    : group_(group), ranks_(std::move(ranks)), inboxes_(std::move(inboxes)),
      own_(static_cast<size_t>(std::find(ranks_.begin(), ranks_.end(), group.rank()) - ranks_.begin())) {}

uint8_t* Staging::slot(uint64_t step) { return inboxes_[own_]->slot(step) + Inbox::kSlotHeaderBytes; }

void Staging::announce(uint64_t step, const Signature& signature, uint64_t rounds) {
  group_.checkAborted();  // what follows looks for an abort only when it has to wait
  const Announcement announcement{signature, rounds};
  std::memcpy(inboxes_[own_]->slot(step), &announcement, sizeof announcement);
}

// Whoever publishes last wakes those that sleep; the others see that they would only go back to sleep. Of two ranks that
// publish at once at least one sees both clocks, and one whose sleep is not seen here sees the clock: everything is
// sequentially consistent.
void Staging::publish(uint64_t step) {
  auto& own = inboxes_[own_]->progress();
  own.cpu.store(sched_getcpu(), std::memory_order_relaxed);
  own.clock.store(step + 1, std::memory_order_seq_cst);
  for (size_t peer = 0; peer < inboxes_.size(); peer++) {
    if (peer == own_ || !inboxes_[peer]->events().hasWaiters()) continue;
    const uint64_t awaited = inboxes_[peer]->progress().awaited.load(std::memory_order_seq_cst);
    // One that awaits no step waits for a message, and should see that the sender has gone on to something else.
    if (awaited == 0 || allShow(awaited)) inboxes_[peer]->events().notify();
  }
}

bool Staging::allShow(uint64_t clock) const {
  return std::all_of(inboxes_.begin(), inboxes_.end(),
                     [clock](Inbox* inbox) { return inbox->progress().clock.load(std::memory_order_seq_cst) >= clock; });
}

// To wait awake for a rank that last ran here would only keep it from running.
bool Staging::sharesCpuWithMissing(uint64_t clock) const {
  const int32_t cpu = sched_getcpu();
  return std::any_of(inboxes_.begin(), inboxes_.end(), [&](Inbox* inbox) {
    const auto& progress = inbox->progress();
    return progress.clock.load(std::memory_order_relaxed) < clock && progress.cpu.load(std::memory_order_relaxed) == cpu;
  });
}

void Staging::await(uint64_t step) {
  const uint64_t clock = step + 1;
  const auto ready = [&] { return allShow(clock); };
  if (ready()) return;
  const auto began = std::chrono::steady_clock::now();
  waitFor(clock, ready);
  group_.addWait(std::chrono::steady_clock::now() - began);
}

template <class Ready>
void Staging::waitFor(uint64_t clock, Ready&& ready) {
  if (group_.spinUntil(ready, [&] { return sharesCpuWithMissing(clock); })) return;
  auto& awaited = inboxes_[own_]->progress().awaited;
  awaited.store(clock, std::memory_order_seq_cst);
  group_.sleepUntil(ready, [&](Communicator::Wait wait) {
    std::string missing;
    for (size_t place = 0; place < inboxes_.size(); place++) {
      auto& progress = inboxes_[place]->progress();
      const auto arrived = [&] { return progress.clock.load(std::memory_order_seq_cst) >= clock; };
      if (arrived()) continue;
      group_.checkPresent(ranks_[place], arrived);
      missing += (missing.empty() ? "" : ", ") + group_.label(ranks_[place]);
    }
    if (wait == Communicator::Wait::Late && !missing.empty()) group_.failLate("rank " + missing);
  });
  awaited.store(0, std::memory_order_relaxed);
}

bool Staging::share(const Signature& signature, const uint8_t* in, size_t inBytes, uint8_t* out, size_t outBytes, Operands* operands) {
  struct Places {
    OperandPlace in, out;
  };
  const auto size = inboxes_.size();
  std::vector<Places> places(size);
  run(
      signature, 1, Ahead::No,
      [&](size_t, uint8_t* slot) {
        const Places own{placeOf(in, inBytes), placeOf(out, outBytes)};
        std::memcpy(slot, &own, sizeof own);
      },
      [&](size_t) {
        for (size_t rank = 0; rank < size; rank++) std::memcpy(&places[rank], of(static_cast<int>(rank)), sizeof(Places));
      });
  if (!std::all_of(places.begin(), places.end(), [](const Places& p) { return p.in.pid != 0 && p.out.pid != 0; })) return false;
  operands->in.resize(size);
  operands->out.resize(size);
  mapper_.keep(kKeptSegments);
  for (size_t rank = 0; rank < size; rank++) {
    const bool own = rank == own_;
    try {
      operands->in[rank] = own ? in : mapper_.map(places[rank].in);
      operands->out[rank] = own ? out : mapper_.map(places[rank].out);
    } catch (const std::exception& error) {
      // One that has left because of another's death says so itself.
      if (group_.gone(ranks_[rank])) group_.failGone(ranks_[rank]);
      group_.fail("rank " + group_.label(ranks_[rank]) + " has died or let go of its operands: " + error.what());
    }
  }
  return true;
}

void Staging::Operands::populate(size_t begin, size_t bytes) const {
  for (const uint8_t* operand : in) SharedMemory::populateAround(operand + begin, bytes);
  for (const uint8_t* operand : out) SharedMemory::populateAround(operand + begin, bytes);
}

void Staging::finish(const Signature& signature) {
  run(
      signature, 1, Ahead::No, [](size_t, uint8_t*) {}, [](size_t) {});
}

size_t Staging::agree(const Signature& signature) const {
  uint64_t rounds = 0;
  for (size_t place = 0; place < inboxes_.size(); place++) {
    Announcement found;
    std::memcpy(&found, inboxes_[place]->slot(step_), sizeof found);
    if (found.signature != signature) group_.failMismatch(signature, ranks_[place], found.signature);
    rounds = std::max(rounds, found.rounds);
  }
  return rounds;
}

bool Staging::hasStarted(int rank, Signature* signature) const {
  const auto found = std::find(ranks_.begin(), ranks_.end(), rank);
  if (found == ranks_.end()) return false;
  Inbox& inbox = *inboxes_[static_cast<size_t>(found - ranks_.begin())];
  if (inbox.progress().clock.load(std::memory_order_seq_cst) <= step_) return false;
  Announcement announcement;
  std::memcpy(&announcement, inbox.slot(step_), sizeof announcement);
  *signature = announcement.signature;
  return true;
}

}  // namespace troupe::collective
