#include <algorithm>
#include <cstring>

#include "program/array_elements.h"
#include "program/array_operations.h"
#include "program/operations.h"

namespace troupe::program {
namespace {

using kernel::DataType;
using kernel::kernels;

/// Up to so many rows, products are sums of the rows of b, for which b need not be transposed.
constexpr size_t kFewRows = 8;
/// Columns that one piece of work computes.
constexpr size_t kColumns = 1024;
constexpr size_t kTransposed = 32;

/// y[i] = a[i] · b[i] of several matrices: floats in float32, integers in int64.
class Matmul : public Operation {
 public:
  explicit Matmul(const Node& node) : a_(*node.inputs.at(0)), b_(*node.inputs.at(1)), y_(*node.outputs.at(0)) {
    GeometryReader geometry(node.geometry);
    m_ = static_cast<size_t>(geometry.next());
    k_ = static_cast<size_t>(geometry.next());
    n_ = static_cast<size_t>(geometry.next());
    const auto sizes = geometry.next(static_cast<size_t>(geometry.next()));
    const auto a = geometry.strided(sizes.size());
    walk_ = Walk(sizes, {a, geometry.strided(sizes.size())});
  }

  void run(const Step& step) override {
    size_t at = 0;
    int64_t transposed = -1;
    for (size_t row = 0; row < walk_.rows(); row++) {
      for (size_t i = 0; i < walk_.rowLength(); i++, at++) {
        const auto place = [&](size_t operand) { return walk_.start(operand, row) + static_cast<int64_t>(i) * walk_.stride(operand); };
        if (!isFloat(y_.type))
          multiplyIntegers(step, place(0), place(1), at);
        else
          multiplyFloats(step, place(0), place(1), at, transposed);
      }
    }
  }

 private:
  /// Matrix number `index` of an input as float32: in place, or widened into `buffer`.
  const float* floatsOf(const Value& value, int64_t index, size_t elements, std::vector<float>& buffer) const {
    const int64_t first = index * static_cast<int64_t>(elements);
    if (value.type == DataType::Float32) return value.floats() + first;
    buffer.resize(elements);
    loadElements(value.data, value.type, first, 1, elements, buffer.data());
    return buffer.data();
  }

  void multiplyFloats(const Step& step, int64_t indexA, int64_t indexB, size_t at, int64_t& transposed) {
    const float* a = floatsOf(a_, indexA, m_ * k_, widenedA_);
    const bool isDirect = y_.type == DataType::Float32;
    if (!isDirect) product_.resize(m_ * n_);
    float* y = isDirect ? y_.floats() + at * m_ * n_ : product_.data();
    if (m_ < kFewRows) {
      multiplyFew(step, a, floatsOf(b_, indexB, k_ * n_, widenedB_), y);
    } else {
      if (transposed != indexB) transpose(step, floatsOf(b_, indexB, k_ * n_, widenedB_));
      transposed = indexB;
      multiplyMany(step, a, y);
    }
    if (!isDirect) storeElements(y, y_.type, m_ * n_, y_.data, at * m_ * n_);
  }

  void multiplyFew(const Step& step, const float* a, const float* b, float* y) const {
    const size_t pieces = (n_ + kColumns - 1) / kColumns;
    step.threads.forEach(pieces, grainOf(2 * m_ * k_ * std::min(n_, kColumns)), [&](size_t begin, size_t end) {
      for (size_t first = begin * kColumns; first < std::min(n_, end * kColumns); first += kColumns) {
        const size_t length = std::min(kColumns, n_ - first);
        for (size_t row = 0; row < m_; row++) std::memset(y + row * n_ + first, 0, length * sizeof(float));
        for (size_t i = 0; i < k_; i++) {
          for (size_t row = 0; row < m_; row++) kernels().addMultiple(a[row * k_ + i], b + i * n_ + first, y + row * n_ + first, length);
        }
      }
    });
  }

  /// [k, n] → [n, k], in squares that stay in the cache.
  void transpose(const Step& step, const float* b) {
    transposed_.resize(k_ * n_);
    step.threads.forEach((n_ + kTransposed - 1) / kTransposed, grainOf(kTransposed * k_), [&](size_t begin, size_t end) {
      for (size_t tile = begin; tile < end; tile++) {
        const size_t first = tile * kTransposed, last = std::min(n_, first + kTransposed);
        for (size_t row = 0; row < k_; row += kTransposed) {
          for (size_t column = first; column < last; column++) {
            for (size_t i = row; i < std::min(k_, row + kTransposed); i++) transposed_[column * k_ + i] = b[i * n_ + column];
          }
        }
      }
    });
  }

  void multiplyMany(const Step& step, const float* a, float* y) {
    if (k_ == 0) return static_cast<void>(std::memset(y, 0, m_ * n_ * sizeof(float)));
    const auto type = DataType::Float32;
    const size_t panelBytes = aligned(kernels().panelBytes(type, m_, k_)), preparedBytes = aligned(kernels().preparedBytes(type, m_, k_));
    const size_t threads = static_cast<size_t>(step.threads.size()), needed = preparedBytes + panelBytes * threads;
    if (!scratch_ || scratch_->bytes() < needed) {
      scratch_ = Storage::allocate(needed);
      scratch_->populate(0, needed);
    }
    uint8_t* prepared = scratch_->data();
    if (const size_t tile = kernels().preparedTile(type, m_); tile > 0) {
      step.threads.forEach((m_ + tile - 1) / tile, grainOf(8 * tile * k_),
                           [&](size_t begin, size_t end) { kernels().prepare(a, type, m_, k_, prepared, begin, end); });
    }
    const auto* weight = reinterpret_cast<const uint8_t*>(transposed_.data());
    const kernel::Linear op{a, weight, type, nullptr, nullptr, y, n_, m_, k_, n_};
    const size_t unit = kernels().panelRows;
    step.threads.forEach((n_ + unit - 1) / unit, grainOf(2 * m_ * k_ * unit), [&](size_t begin, size_t end, int thread) {
      uint8_t* panel = prepared + preparedBytes + panelBytes * static_cast<size_t>(thread);
      for (size_t each = begin; each < end; each++) kernels().linear(op, prepared, panel, each * unit, std::min(n_, (each + 1) * unit));
    });
  }

  void multiplyIntegers(const Step& step, int64_t indexA, int64_t indexB, size_t at) {
    step.threads.forEach(m_, grainOf(2 * k_ * n_), [&](size_t begin, size_t end) {
      std::vector<int64_t> a(k_), b(n_), sums(n_);
      for (size_t row = begin; row < end; row++) {
        loadElements(a_.data, a_.type, (indexA * static_cast<int64_t>(m_) + static_cast<int64_t>(row)) * static_cast<int64_t>(k_), 1, k_,
                     a.data());
        std::fill(sums.begin(), sums.end(), 0);
        for (size_t i = 0; i < k_; i++) {
          loadElements(b_.data, b_.type, (indexB * static_cast<int64_t>(k_) + static_cast<int64_t>(i)) * static_cast<int64_t>(n_), 1, n_,
                       b.data());
          for (size_t column = 0; column < n_; column++) {
            sums[column] =
                static_cast<int64_t>(static_cast<uint64_t>(sums[column]) + static_cast<uint64_t>(a[i]) * static_cast<uint64_t>(b[column]));
          }
        }
        storeElements(sums.data(), y_.type, n_, y_.data, (at * m_ + row) * n_);
      }
    });
  }

  const Value a_, b_, y_;
  size_t m_ = 0, k_ = 0, n_ = 0;
  Walk walk_;
  std::vector<float> widenedA_, widenedB_, transposed_, product_;
  std::shared_ptr<Storage> scratch_;
};

}  // namespace

std::unique_ptr<Operation> makeMatmul(const Node& node) { return std::make_unique<Matmul>(node); }

}  // namespace troupe::program
