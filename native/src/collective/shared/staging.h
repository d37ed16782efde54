#pragma once

#include <algorithm>
#include <vector>

#include "collective/shared/inbox.h"
#include "collective/shared/operands.h"
#include "collective/signature.h"

namespace troupe::collective {

class Communicator;

/// How the ranks of one host run collectives: in steps. In each, every rank fills a slot of its own that all others map,
/// publishes it by advancing its clock, waits until all clocks show the step, and uses the others' slots.
///
/// A rank stages step i before it uses step i - 1 (see run()), so a clock that shows step i says that its rank is done with
/// the slots of step i - 2. With four slots a rank that has waited for step i - 2 may therefore fill the slot of step i + 1
/// without looking: nobody still uses the step i - 3 that was in it.
class Staging {
 public:
  static constexpr size_t kBytes = Inbox::kSlotBytes;

  /// `ranks` are those of the group that are on this host, in order, and `inboxes` theirs. Here they are counted from 0.
  Staging(Communicator& group, std::vector<int> ranks, std::vector<Inbox*> inboxes);

  /// Until it is destroyed, operations are announced as parts of this one, which all ranks of the group have started.
  class PartOf {
   public:
    PartOf(Staging& staging, const Signature& whole) : staging_(staging) { staging_.whole_ = &whole; }
    ~PartOf() { staging_.whole_ = nullptr; }
    PartOf(const PartOf&) = delete;
    PartOf& operator=(const PartOf&) = delete;

   private:
    Staging& staging_;
  };

  enum class Ahead { No, Yes };

  /// Runs one operation of `rounds` steps, or as many as the rank that needs most. `write(round, slot)` fills this rank's
  /// slot, `read(round)` uses the others'. With Ahead::Yes, round i + 1 is written before round i is read, so that ranks
  /// seldom wait for each other. Throws CollectiveError, also when the ranks' signatures differ.
  template <class Write, class Read>
  void run(const Signature& own, size_t rounds, Ahead ahead, Write&& write, Read&& read) {
    const Signature& signature = whole_ != nullptr ? *whole_ : own;
    rounds = std::max<size_t>(rounds, 1);  // operations without data synchronise too
    const size_t lead = ahead == Ahead::Yes ? 1 : 0;
    size_t written = 0;
    for (size_t round = 0; round < rounds; round++) {
      for (; written < rounds && written <= round + lead; written++) {
        const uint64_t step = step_ + written;
        if (written == 0) announce(step, signature, rounds);
        write(written, slot(step));
        publish(step);
      }
      await(step_ + round);
      if (round == 0) rounds = agree(signature);
      round_ = step_ + round;
      read(round);
    }
    step_ += rounds;
  }

  /// The operands of all ranks, by rank, as this process sees them.
  struct Operands {
    std::vector<const uint8_t*> in;
    std::vector<uint8_t*> out;

    /// Populates these bytes of all of them as this process has them mapped.
    void populate(size_t begin, size_t bytes) const;
  };

  /// Lets every rank see the operands of all others. Returns false, on all ranks alike, if one of them lies in memory that
  /// others cannot map. Otherwise the ranks may read and write them until they meet in finish(). Throws CollectiveError.
  bool share(const Signature& signature, const uint8_t* in, size_t inBytes, uint8_t* out, size_t outBytes, Operands* operands);
  /// Returns once all ranks have called it, and are thus done with each other's operands.
  void finish(const Signature& signature);

  /// Whether `rank` of the group has started an operation that this rank has not, and which.
  bool hasStarted(int rank, Signature* signature) const;

  /// The bytes that `rank` staged in the round that is being read.
  const uint8_t* of(int rank) const { return inboxes_[static_cast<size_t>(rank)]->slot(round_) + Inbox::kSlotHeaderBytes; }

 private:
  struct Announcement {
    Signature signature;
    uint64_t rounds;
  };
  static_assert(sizeof(Announcement) <= Inbox::kSlotHeaderBytes, "an announcement fits a slot's header");

  uint8_t* slot(uint64_t step);
  void announce(uint64_t step, const Signature& signature, uint64_t rounds);
  void publish(uint64_t step);
  void await(uint64_t step);
  template <class Ready>
  void waitFor(uint64_t clock, Ready&& ready);
  size_t agree(const Signature& signature) const;
  bool allShow(uint64_t clock) const;
  bool sharesCpuWithMissing(uint64_t clock) const;

  Communicator& group_;
  const std::vector<int> ranks_;
  const std::vector<Inbox*> inboxes_;
  const size_t own_;  // this rank's place among them
  const Signature* whole_ = nullptr;
  OperandMapper mapper_;
  uint64_t step_ = 0;   // the first step of the operation under way
  uint64_t round_ = 0;  // the step being read
};

}  // namespace troupe::collective
