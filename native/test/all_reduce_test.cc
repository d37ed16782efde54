#include "kernel_support.h"
#include "program/program.h"
#include "ranks.h"

using namespace troupe;

namespace {

/// Sums rows of random numbers over ranks by a program, whose ranks send `bits` bits a number, and gives the largest error
/// in proportion to the largest sum.
double errorOf(int ranks, const Nodes& nodes, int bits, size_t rows, size_t columns, int threads = 1) {
  std::vector<std::vector<float>> given;
  for (int rank = 0; rank < ranks; rank++) given.push_back(randoms(rows * columns));
  std::vector<std::vector<float>> found(static_cast<size_t>(ranks));
  onRanks(ranks, nodes, [&](collective::Communicator& group) {
    const auto rank = static_cast<size_t>(group.rank());
    std::vector<float> x = given[rank], y(x.size());
    program::Program::Description description;
    description.symbols = {"rows"};
    description.limits = {rows};
    for (auto* data : {&x, &y})
      description.values.push_back({reinterpret_cast<uint8_t*>(data->data()), kernel::DataType::Float32, 0, rows, columns});
    description.arenaOffsets = {0, 0};
    description.operations.push_back({"allReduce", {0}, {1}, {{"bits", bits}}, {}, 0});
    description.groups.push_back(std::shared_ptr<collective::Communicator>(&group, [](auto*) {}));
    program::Program program(std::move(description), threads);
    for (int round = 0; round < 2; round++) program.run({rows});
    found[rank] = y;
  });
  double worst = 0, largest = 0;
  for (size_t i = 0; i < rows * columns; i++) {
    double sum = 0;
    for (const auto& each : given) sum += each[i];
    worst = std::max(worst, std::abs(found[0][i] - sum));
    largest = std::max(largest, std::abs(sum));
  }
  for (const auto& each : found) CHECK(std::memcmp(each.data(), found[0].data(), each.size() * sizeof(float)) == 0);
  return worst / largest;
}

}  // namespace

TEST("a sum whose ranks send bfloat16 or int8 is the same on all ranks, and off by no more than they round") {
  for (const Nodes& nodes : {oneNode, nodeEach}) {
    for (const int ranks : {2, 3}) {
      for (const size_t columns : {64, 77}) {
        CHECK(errorOf(ranks, nodes, 32, 100, columns) < 1e-6);
        // Half a unit of the 8 bits for each rank's number, and for the sum.
        CHECK(errorOf(ranks, nodes, 16, 100, columns) < (ranks + 1) * 0x1p-9);
        // Half a step of 127 of the largest in a group, for each rank's number and for the sum.
        const double error = errorOf(ranks, nodes, 8, 100, columns, ranks == 3 ? 2 : 1);
        CHECK(error < (ranks + 1) * 0.5 / 127 && error > 1e-4);
      }
    }
  }
}

TEST("a small sum is exact, however few bits the ranks may send") {
  for (const int bits : {8, 16}) CHECK(errorOf(2, oneNode, bits, 3, 77) < 1e-6);
}

TEST("what is no number stays none when it is sent in fewer bits") {
  for (const auto* set : available()) {
    for (const float with : {HUGE_VALF, -HUGE_VALF}) {
      std::vector<float> infinite(40, 1.0f), found(40);
      infinite[3] = with;
      std::vector<uint8_t> rounded(2 * kernel::kGroupBytes);
      set->fromFloat(infinite.data(), kernel::DataType::Int8, rounded.data(), infinite.size());
      set->addInt8Groups(rounded.data(), found.data(), found.size());
      CHECK(std::isnan(found[3]) && near(found[39], 1, 1));
    }
    std::vector<float> x(40, 1.0f);
    x[3] = NAN;
    std::vector<uint16_t> half(x.size());
    set->fromFloat(x.data(), kernel::DataType::BFloat16, reinterpret_cast<uint8_t*>(half.data()), x.size());
    std::vector<uint8_t> groups(2 * kernel::kGroupBytes);
    std::vector<float> y(x.size());
    set->fromFloat(x.data(), kernel::DataType::Int8, groups.data(), x.size());
    set->addInt8Groups(groups.data(), y.data(), y.size());
    CHECK((half[3] & 0x7f80) == 0x7f80 && (half[3] & 0x7f) != 0 && half[4] == 0x3f80);
    CHECK(std::isnan(y[3]) && near(y[39], 1, 1));
  }
}
