#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace troupe::program {

/// Where an operand's elements lie: element (i, j, …) is number offset + i · strides[0] + j · strides[1] + ….
struct Strided {
  int64_t offset = 0;
  std::vector<int64_t> strides;
};

/// A walk over all elements of a shape in row-major order, with the places of several operands.
class Walk {
 public:
  Walk() = default;
  Walk(std::vector<int64_t> sizes, std::vector<Strided> operands);

  /// Elements of the last dimension; the others are the rows.
  size_t rowLength() const { return length_; }
  size_t rows() const { return rows_; }
  size_t operands() const { return operands_.size(); }
  /// Elements of an operand between two along a row.
  int64_t stride(size_t operand) const { return last_[operand]; }
  /// The element of an operand that a row begins with.
  int64_t start(size_t operand, size_t row) const;

 private:
  std::vector<int64_t> sizes_;  // but the last
  std::vector<Strided> operands_;
  std::vector<int64_t> last_;
  size_t length_ = 1, rows_ = 1;
};

/// Reads numbers of a geometry one after the other; what is not there is 0, and `isWhole` tells whether it was all and no more.
class GeometryReader {
 public:
  explicit GeometryReader(const std::vector<int64_t>& numbers) : numbers_(numbers) {}

  int64_t next() { return at_ < numbers_.size() ? numbers_[at_++] : (at_++, 0); }
  std::vector<int64_t> next(size_t count);
  Strided strided(size_t rank);
  bool isWhole() const { return at_ == numbers_.size(); }

 private:
  const std::vector<int64_t>& numbers_;
  size_t at_ = 0;
};

/// Elements of a shape.
size_t countOf(const std::vector<int64_t>& sizes);

/// The least and the most element that a walk over a shape, which is not empty, comes to.
struct Span {
  int64_t least, most;
};
Span spanOf(const std::vector<int64_t>& sizes, const Strided& operand);

}  // namespace troupe::program
