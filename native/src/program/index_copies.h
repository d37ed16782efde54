#pragma once

#include <map>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "program/schema.h"

namespace troupe::program {

/// The index inputs of a program's operations, in memory that nobody else writes to: what was checked is what is used, whatever
/// JavaScript does to the inputs meanwhile, and whatever values share their memory.
class IndexCopies {
 public:
  /// Says what the operations of the program write. Comes before take().
  void addWritten(const Value& value);

  /// Has an operation, by its number, read the copies of its index inputs.
  void take(Node& node, size_t operation, size_t ranks, size_t rank);

  /// Copies and checks what a run does not compute itself. Throws std::out_of_range.
  void checkAll(const std::vector<size_t>& symbols);
  /// The same for what it does, and an operation is about to use.
  void checkComputed(size_t operation, const std::vector<size_t>& symbols);

 private:
  struct Copy {
    const Value* from;
    Value to;
    std::vector<int32_t> memory;
    bool isComputed;

    void refresh(const std::vector<size_t>& symbols);
  };

  std::unique_ptr<Copy> makeCopy(const Value& value) const;

  std::vector<std::pair<const uint8_t*, const uint8_t*>> written_;
  std::map<const Value*, std::unique_ptr<Copy>> copies_;
  std::vector<std::unique_ptr<Copy>> fixed_;                                           // which stay as they are
  std::vector<Copy*> given_;                                                           // that a run does not compute
  std::vector<IndexCheck> checks_;                                                     // of these
  std::set<std::string> known_;                                                        // keys of those checks
  std::map<size_t, std::pair<std::vector<Copy*>, std::vector<IndexCheck>>> computed_;  // by operation
};

}  // namespace troupe::program
