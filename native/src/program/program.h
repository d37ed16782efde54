#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "collective/communicator.h"
#include "device/storage.h"
#include "kernel/kernels.h"
#include "program/thread_pool.h"

namespace troupe::program {

/// A matrix of a program: where its elements are, and how many rows it may have. A row count is fixed, or a symbol whose
/// value each run gives.
struct Value {
  static constexpr int kFixed = -1;

  uint8_t* data = nullptr;
  kernel::DataType type = kernel::DataType::Float32;
  int symbol = kFixed;
  size_t rows = 0;  // the fixed count, or the most that the symbol may be
  size_t columns = 0;
  bool isPacked = false;  // a constant weight in the layout of the kernels' `pack`

  size_t bytes() const { return isPacked ? kernel::kernels().packedBytes(type, rows, columns) : rows * kernel::rowBytes(type, columns); }
  float* floats() const { return reinterpret_cast<float*>(data); }
  int32_t* ints() const { return reinterpret_cast<int32_t*>(data); }
};

/// One operation as it was traced.
struct Node {
  std::string name;
  std::vector<const Value*> inputs;
  std::vector<const Value*> outputs;
  std::map<std::string, double> numbers;
  std::vector<int64_t> geometry = {};  // sizes and strides, for operations on arrays of any number of dimensions
  collective::Communicator* group = nullptr;
  const std::vector<std::string>* symbols = nullptr;  // what errors call them

  double number(const std::string& key) const;
};

/// Memory for what operations exchange with other ranks, whose sizes only a run tells. Every operation may use all of it, and
/// it stays as large as it has become.
class Workspace {
 public:
  /// Buffer `index` with room for `count` floats; if that makes it larger, what it held is lost.
  float* floats(size_t index, size_t count);

 private:
  std::vector<std::shared_ptr<Storage>> buffers_;
};

/// The inputs and the memory that one run gives its operations.
struct Step {
  const std::vector<size_t>& symbols;
  ThreadPool& threads;
  Workspace& workspace;
  uint8_t* scratch;  // as much as the operation asked for; 64-byte aligned

  size_t rows(const Value& value) const { return value.symbol == Value::kFixed ? value.rows : symbols[static_cast<size_t>(value.symbol)]; }
};

class Operation {
 public:
  virtual ~Operation() = default;
  virtual void run(const Step& step) = 0;
  /// Bytes of memory that a run needs for itself.
  virtual size_t scratchBytes(int /*threads*/) const { return 0; }
  /// Bytes that a run reads of inputs of which it reads only a part, and which `operandBytes` holds for whole; nothing for others.
  virtual std::optional<size_t> partBytes(const Step& /*step*/) const { return {}; }
};

/// The operation's implementation on a device. Throws std::invalid_argument for an unknown name or unfit operands.
std::unique_ptr<Operation> makeOperation(Device device, const Node& node);

class IndexCopies;

/// Operations over preallocated memory, run in order on the calling thread and its pool.
///
/// Operations read and write where the elements of their index inputs say. These are copied before they are used, and the
/// copies checked: before anything of a run is executed, or, for those that the run itself computes, right before the operation.
class Program {
 public:
  struct Description {
    std::vector<std::string> symbols;
    std::vector<size_t> limits;  // the most that each symbol may be
    std::vector<Value> values;   // `data` is set for constants; the others lie in the arena at arenaOffsets
    std::vector<size_t> arenaOffsets;
    size_t arenaBytes = 0;
    struct Operation {
      std::string name;
      std::vector<int> inputs, outputs;
      std::map<std::string, double> numbers;
      std::vector<int64_t> geometry = {};
      int group = -1;
      bool isElsewhere = false;  // done by another device, between the runs of parts of the program: its indices are checked here
    };
    std::vector<Operation> operations;
    std::vector<std::shared_ptr<Storage>> storages;  // kept alive
    std::vector<std::shared_ptr<collective::Communicator>> groups;
  };

  /// Cores that processes share out among them, a run of them each, by their numbers among those that a process may use:
  /// [0, all), of which `first` and as many as there are threads are this one's. A run that finds itself on another's moves
  /// to its own, from where the system may move it again.
  struct Cores {
    int first, all;
  };

  /// Throws std::invalid_argument where a description says what no operation takes, or leads out of its memory.
  Program(Description description, int threads, Cores cores = {0, 0});
  ~Program();

  const std::shared_ptr<Storage>& arena() const { return arena_; }

  /// Runs every operation once. Throws std::invalid_argument or std::out_of_range for symbols and indices outside of their
  /// bounds: then nothing was done, and the run can be repeated with others, on which other ranks wait meanwhile. A failure
  /// during a run leaves the groups, so that no other rank waits for this one; so does a file of constants that was changed since
  /// it was mapped, before a run or during it.
  void run(const std::vector<size_t>& symbols) { run(symbols, 0, operations_.size()); }

  /// Runs the operations [begin, end) that are not elsewhere. What the whole run is given is checked by `check`.
  void run(const std::vector<size_t>& symbols, size_t begin, size_t end);
  /// Throws as `run` does for symbols and indices outside of their bounds, and does nothing else.
  void check(const std::vector<size_t>& symbols);

  /// Ends the run under way, and every later one: at its next operation, or at once if it waits for other ranks.
  void cancel(const std::string& reason);

  /// Nanoseconds of all runs so far. Any thread may ask.
  struct Statistics {
    int64_t busy, waiting, transfer;
  };
  Statistics statistics() const { return {total_ - communicating_, waiting_, communicating_ - waiting_}; }

  /// What all runs so far have spent on one operation: nanoseconds, and bytes of the operands that it read and wrote.
  struct Profile {
    std::string operation;         // its name
    size_t columnsIn, columnsOut;  // of its first input, and of its outputs together
    int64_t nanoseconds, bytes;
  };
  /// In the order in which they run. Any thread may ask.
  std::vector<Profile> profile() const;

 private:
  void checkValues() const;
  void checkSymbols(const std::vector<size_t>& symbols) const;
  void addOperation(const Description::Operation& traced);
  void runOne(size_t operation, const Step& step);
  size_t bytesOf(size_t operation, const Step& step) const;
  void keepToCores() const;
  void populateArena(const std::vector<size_t>& symbols);
  void expectFilesUnchanged() const;

  Description description_;
  std::vector<std::shared_ptr<MappedFile>> files_;  // that constants lie in
  std::shared_ptr<Storage> arena_;
  std::vector<bool> isConstant_;       // by value; the others lie in the arena
  std::vector<size_t> populatedRows_;  // the most that each symbol has been
  std::shared_ptr<Storage> scratch_;   // of the operation that runs
  Workspace workspace_;
  ThreadPool threads_;
  const Cores cores_;
  std::vector<bool> isHere_;  // by value: whether an operation that is not elsewhere uses it
  std::vector<std::unique_ptr<Operation>> operations_;
  std::unique_ptr<IndexCopies> indices_;
  std::atomic<bool> cancelled_{false};
  std::atomic<int64_t> total_{0}, communicating_{0}, waiting_{0};
  struct Spent {
    std::atomic<int64_t> nanoseconds{0}, bytes{0};
  };
  std::vector<Spent> spent_;  // by operation
};

}  // namespace troupe::program
