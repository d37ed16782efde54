#pragma once

#include <functional>
#include <vector>

#include "collective/signature.h"
#include "collective/transfer.h"

namespace troupe::collective {

class Hosts;
class Staging;

/// Ranks as an algorithm sees them: all of a communicator's, or a part of them, which it then numbers from 0.
class Group {
 public:
  Group(int rank, int size) : rank_(rank), size_(size) {}
  virtual ~Group() = default;

  int rank() const { return rank_; }
  int size() const { return size_; }

  /// How the ranks exchange data if all of them are on one host, else null.
  virtual Staging* staging() = 0;
  /// How the ranks are divided among hosts if one of several hosts has more than one, else null.
  virtual Hosts* hosts() { return nullptr; }

  /// Moves all of `transfers` at once, as parts of one operation, in whatever order they become possible; those between
  /// two ranks in one direction go one after the other. Throws CollectiveError.
  void transfer(const Signature& signature, std::vector<Transfer>& transfers) {
    transfer(signature, transfers, [](size_t) {});
  }
  /// The same, and calls finished(i) when transfers[i] is done, which may make others ready.
  using Finished = std::function<void(size_t)>;
  virtual void transfer(const Signature& signature, std::vector<Transfer>& transfers, const Finished& finished) = 0;
  /// An empty list to be filled and given to transfer().
  virtual std::vector<Transfer>& transfers() = 0;
  /// Memory for an algorithm's intermediate results; grows to the largest size asked for and is kept.
  virtual uint8_t* scratch(size_t bytes) = 0;
  [[noreturn]] virtual void failSize(const Signature& own, int rank, size_t expected, size_t found) = 0;

 protected:
  const int rank_;
  const int size_;
};

}  // namespace troupe::collective
