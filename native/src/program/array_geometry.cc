#include "program/array_geometry.h"

#include <algorithm>

namespace troupe::program {

Walk::Walk(std::vector<int64_t> sizes, std::vector<Strided> operands) : sizes_(std::move(sizes)), operands_(std::move(operands)) {
  const auto drop = [&](size_t dimension, size_t stride) {
    sizes_.erase(sizes_.begin() + static_cast<ptrdiff_t>(dimension));
    for (auto& operand : operands_) operand.strides.erase(operand.strides.begin() + static_cast<ptrdiff_t>(stride));
  };
  for (size_t i = sizes_.size(); i-- > 0;) {
    if (sizes_[i] == 1) drop(i, i);
  }
  // Neighbouring dimensions that every operand passes through in even steps are one.
  for (size_t i = sizes_.size(); i-- > 1;) {
    const bool isOne = std::all_of(operands_.begin(), operands_.end(),
                                   [&](const Strided& operand) { return operand.strides[i - 1] == operand.strides[i] * sizes_[i]; });
    if (!isOne) continue;
    sizes_[i - 1] *= sizes_[i];
    drop(i, i - 1);
  }
  for (auto& operand : operands_) {
    last_.push_back(operand.strides.empty() ? 0 : operand.strides.back());
    if (!operand.strides.empty()) operand.strides.pop_back();
  }
  if (!sizes_.empty()) {
    length_ = static_cast<size_t>(sizes_.back());
    sizes_.pop_back();
  }
  rows_ = countOf(sizes_);
}

int64_t Walk::start(size_t operand, size_t row) const {
  const Strided& own = operands_[operand];
  int64_t element = own.offset;
  for (size_t i = sizes_.size(); i-- > 0 && row > 0;) {
    const auto size = static_cast<size_t>(sizes_[i]);
    element += static_cast<int64_t>(row % size) * own.strides[i];
    row /= size;
  }
  return element;
}

std::vector<int64_t> GeometryReader::next(size_t count) {
  std::vector<int64_t> found;
  for (size_t i = 0; i < count && i <= numbers_.size(); i++) found.push_back(next());
  return found;
}

Strided GeometryReader::strided(size_t rank) {
  const int64_t offset = next();
  return {offset, next(rank)};
}

size_t countOf(const std::vector<int64_t>& sizes) {
  size_t count = 1;
  for (const int64_t size : sizes) count *= static_cast<size_t>(size);
  return count;
}

Span spanOf(const std::vector<int64_t>& sizes, const Strided& operand) {
  Span span{operand.offset, operand.offset};
  for (size_t i = 0; i < sizes.size(); i++) {
    const int64_t reach = (sizes[i] - 1) * operand.strides[i];
    (reach < 0 ? span.least : span.most) += reach;
  }
  return span;
}

}  // namespace troupe::program
