#include <cstring>
#include <stdexcept>

#include "collective/collectives.h"
#include "program/operations.h"

namespace troupe::program {
namespace {

using collective::Communicator;
using kernel::kernels;
using kernel::kGroupBytes;
using kernel::kGroupFloats;

/// Sums of fewer bytes travel as they are: what they take is not their bytes.
constexpr size_t kSmallBytes = 16 << 10;

/// The sum over all ranks, which is the same on all. What the ranks send has `bits` bits a number: 32; 16, a bfloat16; or 8,
/// in groups with a scale.
class AllReduce : public Operation {
 public:
  explicit AllReduce(const Node& node)
      : x_(*node.inputs.at(0)), y_(*node.outputs.at(0)), group_(*node.group), bits_(static_cast<int>(node.number("bits"))),
        sent_(static_cast<size_t>(group_.size())), received_(sent_.size()) {}

  void run(const Step& step) override {
    const size_t count = step.rows(x_) * x_.columns;
    if (bits_ == 32 || count * sizeof(float) < kSmallBytes || group_.size() == 1) {
      return collective::allReduce(group_, x_.data, y_.data, count, collective::DataType::Float32, collective::Reduction::Sum);
    }
    bits_ == 16 ? reduceBfloat16(step, count) : reduceInt8(step, count);
  }

 private:
  void reduceBfloat16(const Step& step, size_t count) {
    auto* rounded = reinterpret_cast<uint16_t*>(step.workspace.floats(0, (count + 1) / 2));
    step.threads.forEach(count, kGrainFlops / 4, [&](size_t begin, size_t end) {
      kernels().fromFloat(x_.floats() + begin, kernel::DataType::BFloat16, reinterpret_cast<uint8_t*>(rounded + begin), end - begin);
    });
    auto* bytes = reinterpret_cast<uint8_t*>(rounded);
    collective::allReduce(group_, bytes, bytes, count, collective::DataType::BFloat16, collective::Reduction::Sum);
    step.threads.forEach(count, kGrainFlops / 4, [&](size_t begin, size_t end) {
      kernels().toFloat(reinterpret_cast<const uint8_t*>(rounded + begin), kernel::DataType::BFloat16, y_.floats() + begin, end - begin);
    });
  }

  /// Every rank sums its share of what all ranks send it, and sends the sum to all (Wang et al., "ZeRO++", arXiv 2306.10209,
  /// section 3.3).
  void reduceInt8(const Step& step, size_t count) {
    const size_t size = sent_.size(), own = static_cast<size_t>(group_.rank()), groups = (count + kGroupFloats - 1) / kGroupFloats;
    const auto shareOf = [&](size_t rank) { return groups * rank / size; };  // its first group
    const size_t ownGroups = shareOf(own + 1) - shareOf(own), floats = kGroupBytes / sizeof(float);
    auto* all = reinterpret_cast<uint8_t*>(step.workspace.floats(0, groups * floats));
    auto* arrived = reinterpret_cast<uint8_t*>(step.workspace.floats(1, size * ownGroups * floats));
    float* sums = step.workspace.floats(2, ownGroups * kGroupFloats);
    const auto eachGroup = [&](size_t amount, auto&& body) { step.threads.forEach(amount, grainOf(8 * kGroupFloats), body); };
    const auto floatsOf = [&](size_t begin, size_t end) { return std::min(count, end * kGroupFloats) - begin * kGroupFloats; };

    eachGroup(groups, [&](size_t begin, size_t end) {
      kernels().fromFloat(x_.floats() + begin * kGroupFloats, kernel::DataType::Int8, all + begin * kGroupBytes, floatsOf(begin, end));
    });
    for (size_t rank = 0; rank < size; rank++) {
      sent_[rank] = (shareOf(rank + 1) - shareOf(rank)) * kGroupBytes;
      received_[rank] = ownGroups * kGroupBytes;
    }
    collective::allToAll(group_, all, sent_.data(), arrived, received_.data());
    eachGroup(ownGroups, [&](size_t begin, size_t end) {
      float* sum = sums + begin * kGroupFloats;
      const size_t length = (end - begin) * kGroupFloats;
      std::memset(sum, 0, length * sizeof(float));
      for (size_t rank = 0; rank < size; rank++) kernels().addInt8Groups(arrived + (rank * ownGroups + begin) * kGroupBytes, sum, length);
      kernels().fromFloat(sum, kernel::DataType::Int8, all + (shareOf(own) + begin) * kGroupBytes, length);
    });
    collective::allGather(group_, all + shareOf(own) * kGroupBytes, sent_.data(), all);
    eachGroup(groups, [&](size_t begin, size_t end) {
      float* y = y_.floats() + begin * kGroupFloats;
      std::memset(y, 0, floatsOf(begin, end) * sizeof(float));
      kernels().addInt8Groups(all + begin * kGroupBytes, y, floatsOf(begin, end));
    });
  }

  const Value x_, y_;
  Communicator& group_;
  const int bits_;
  std::vector<size_t> sent_, received_;
};

}  // namespace

std::unique_ptr<Operation> makeAllReduce(const Node& node) { return std::make_unique<AllReduce>(node); }

}  // namespace troupe::program
