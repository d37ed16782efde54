#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>

#include "program/array_elements.h"
#include "program/array_operations.h"
#include "program/operations.h"

namespace troupe::program {
namespace {

using kernel::kernels;

/// Sums of floats are computed in doubles; those of integers wrap around in int64.
enum class Fold { Sum, Mean, Product, Max, Min, Argmax, Argmin };

Fold foldNamed(const std::string& name) {
  static const std::map<std::string, Fold> folds{
      {"array.sum", Fold::Sum}, {"array.mean", Fold::Mean},     {"array.prod", Fold::Product},  {"array.max", Fold::Max},
      {"array.min", Fold::Min}, {"array.argmax", Fold::Argmax}, {"array.argmin", Fold::Argmin},
  };
  const auto found = folds.find(name);
  if (found == folds.end()) throw std::invalid_argument("no operation is called " + name);
  return found->second;
}

/// Whether `value` takes the place of the best so far: a NaN does, and keeps it.
template <class T>
bool isBetter(Fold fold, T value, T best) {
  if (best != best) return false;
  if (value != value) return true;
  return fold == Fold::Max || fold == Fold::Argmax ? value > best : value < best;
}

/// The reduction of one element of the result so far. T is what elements are read as, Sum what is added up in.
template <class T, class Sum>
struct Folded {
  Sum sum;
  T best{};
  int64_t bestAt = 0;

  explicit Folded(Fold fold) : sum(fold == Fold::Product ? 1 : 0) {}

  void take(Fold fold, T value, int64_t at) {
    switch (fold) {
      case Fold::Sum:
      case Fold::Mean: sum = added(sum, value); return;
      case Fold::Product: sum = multiplied(sum, value); return;
      default:
        if (at > 0 && !isBetter(fold, value, best)) return;
        best = value;
        bestAt = at;
    }
  }

  static double added(double a, T b) { return a + static_cast<double>(b); }
  static double multiplied(double a, T b) { return a * static_cast<double>(b); }
  static int64_t added(int64_t a, T b) { return static_cast<int64_t>(static_cast<uint64_t>(a) + static_cast<uint64_t>(b)); }
  static int64_t multiplied(int64_t a, T b) { return static_cast<int64_t>(static_cast<uint64_t>(a) * static_cast<uint64_t>(b)); }
};

class Reduction : public Operation {
 public:
  explicit Reduction(const Node& node) : fold_(foldNamed(node.name)), x_(*node.inputs.at(0)), y_(*node.outputs.at(0)) {
    GeometryReader geometry(node.geometry);
    const auto kept = geometry.next(static_cast<size_t>(geometry.next()));
    const auto reduced = geometry.next(static_cast<size_t>(geometry.next()));
    const int64_t offset = geometry.next();
    const auto keptStrides = geometry.next(kept.size()), reducedStrides = geometry.next(reduced.size());
    kept_ = Walk(kept, {{offset, keptStrides}});
    reduced_ = Walk(reduced, {{0, reducedStrides}});
    count_ = countOf(reduced);
  }

  void run(const Step& step) override {
    if (isFloat(x_.type))
      reduce<float, double>(step);
    else
      reduce<int64_t, int64_t>(step);
  }

 private:
  // Elements are read along the dimension in which they are closest together.
  template <class T, class Sum>
  void reduce(const Step& step) {
    if (kept_.rowLength() > 1 && std::abs(kept_.stride(0)) < std::abs(reduced_.stride(0)))
      reduceRows<T, Sum>(step);
    else
      reduceEach<T, Sum>(step);
  }

  /// One result after the other.
  template <class T, class Sum>
  void reduceEach(const Step& step) {
    step.threads.forEach(kept_.rows() * kept_.rowLength(), grainOf(2 * count_), [&](size_t begin, size_t end) {
      T loaded[kChunk];
      for (size_t at = begin; at < end; at++) {
        const int64_t from = kept_.start(0, at / kept_.rowLength()) + static_cast<int64_t>(at % kept_.rowLength()) * kept_.stride(0);
        Folded<T, Sum> folded(fold_);
        size_t seen = 0;
        for (size_t row = 0; row < reduced_.rows(); row++) {
          const int64_t first = from + reduced_.start(0, row);
          for (size_t done = 0; done < reduced_.rowLength(); done += kChunk) {
            const size_t length = std::min(kChunk, reduced_.rowLength() - done);
            loadElements(x_.data, x_.type, first + static_cast<int64_t>(done) * reduced_.stride(0), reduced_.stride(0), length, loaded);
            takeAll(folded, loaded, length, seen);
            seen += length;
          }
        }
        write(&folded, 1, at);
      }
    });
  }

  template <class Sum>
  void takeAll(Folded<float, Sum>& folded, const float* values, size_t count, size_t seen) {
    if (fold_ == Fold::Sum || fold_ == Fold::Mean)
      folded.sum += kernels().sumInDoubles(values, count);
    else
      for (size_t i = 0; i < count; i++) folded.take(fold_, values[i], static_cast<int64_t>(seen + i));
  }

  template <class Sum>
  void takeAll(Folded<int64_t, Sum>& folded, const int64_t* values, size_t count, size_t seen) {
    for (size_t i = 0; i < count; i++) folded.take(fold_, values[i], static_cast<int64_t>(seen + i));
  }

  /// A chunk of results at once, element by element of what is reduced.
  template <class T, class Sum>
  void reduceRows(const Step& step) {
    const size_t perRow = (kept_.rowLength() + kChunk - 1) / kChunk;
    const size_t work = 2 * count_ * std::min(kept_.rowLength(), kChunk);
    step.threads.forEach(kept_.rows() * perRow, grainOf(work), [&](size_t begin, size_t end) {
      T loaded[kChunk];
      for (size_t unit = begin; unit < end; unit++) {
        const size_t from = unit % perRow * kChunk, length = std::min(kChunk, kept_.rowLength() - from);
        const int64_t first = kept_.start(0, unit / perRow) + static_cast<int64_t>(from) * kept_.stride(0);
        std::vector<Folded<T, Sum>> folded(length, Folded<T, Sum>(fold_));
        int64_t seen = 0;
        for (size_t row = 0; row < reduced_.rows(); row++) {
          const int64_t start = first + reduced_.start(0, row);
          for (size_t i = 0; i < reduced_.rowLength(); i++, seen++) {
            loadElements(x_.data, x_.type, start + static_cast<int64_t>(i) * reduced_.stride(0), kept_.stride(0), length, loaded);
            for (size_t each = 0; each < length; each++) folded[each].take(fold_, loaded[each], seen);
          }
        }
        write(folded.data(), length, unit / perRow * kept_.rowLength() + from);
      }
    });
  }

  template <class T, class Sum>
  void write(const Folded<T, Sum>* folded, size_t length, size_t at) {
    for (size_t i = 0; i < length; i++) {
      const auto& own = folded[i];
      switch (fold_) {
        case Fold::Sum:
        case Fold::Product: put(static_cast<T>(own.sum), at + i); break;
        case Fold::Mean: put(static_cast<T>(own.sum / static_cast<Sum>(count_)), at + i); break;
        case Fold::Max:
        case Fold::Min: put(own.best, at + i); break;
        case Fold::Argmax:
        case Fold::Argmin: put(own.bestAt, at + i); break;
      }
    }
  }

  template <class T>
  void put(T value, size_t at) {
    storeElements(&value, y_.type, 1, y_.data, at);
  }

  const Fold fold_;
  const Value x_, y_;
  Walk kept_, reduced_;
  size_t count_ = 0;
};

}  // namespace

std::unique_ptr<Operation> makeReduction(const Node& node) { return std::make_unique<Reduction>(node); }

}  // namespace troupe::program
