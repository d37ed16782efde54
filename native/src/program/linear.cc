#include <stdexcept>

#include "program/operations.h"

namespace troupe::program {
namespace {

using kernel::isQuantized;
using kernel::kernels;

/// Above this many tokens every product is laid out in the same way.
constexpr size_t kMostFewTokens = 32;

struct Matrix {
  Value weight;
  const float* bias = nullptr;
};

/// One result: of a matrix, plus a residual; or silu(x · gate) · (x · up).
struct Product {
  Matrix matrix;  // the gate, where there is an `up`
  bool gated = false;
  Matrix up;
  const float* residual = nullptr;
  Value y;
};

/// Products of one x, which is prepared once for all of them and whose rows all threads share out together. Inputs: x,
/// then for each output what its number `product<i>` says by its bits: the weight; 1: a bias; 2: a residual; 4: the
/// weight of `up`, making this one the gate's; 8: the bias of `up`.
class Linear : public Operation {
 public:
  explicit Linear(const Node& node) : x_(*node.inputs.at(0)) {
    size_t next = 1;
    const auto matrix = [&](bool bias) {
      Matrix read;
      read.weight = *node.inputs.at(next++);
      if (bias) read.bias = node.inputs.at(next++)->floats();
      return read;
    };
    for (size_t i = 0; i < node.outputs.size(); i++) {
      const int parts = static_cast<int>(node.number("product" + std::to_string(i)));
      Product product;
      product.y = *node.outputs[i];
      product.matrix = matrix(parts & 1);
      if (parts & 2) product.residual = node.inputs.at(next++)->floats();
      product.gated = parts & 4;
      if (product.gated) product.up = matrix(parts & 8);
      products_.push_back(product);
    }
  }

  size_t scratchBytes(int threads) const override {
    // A run of few tokens, which is laid out otherwise, may need more than one of many.
    size_t most = Layout(*this, x_.rows, threads).bytes;
    for (size_t tokens = 1; tokens < std::min(x_.rows, kMostFewTokens); tokens++)
      most = std::max(most, Layout(*this, tokens, threads).bytes);
    return most;
  }

  void run(const Step& step) override {
    const size_t tokens = step.rows(x_);
    if (tokens == 0) return;
    const Layout layout(*this, tokens, step.threads.size());
    for (const bool quantized : {false, true}) {
      if (!uses(quantized)) continue;
      const auto type = quantized ? kernel::DataType::Q8_0 : kernel::DataType::Float32;
      const size_t tile = kernels().preparedTile(type, tokens);
      if (tile == 0) continue;
      uint8_t* prepared = step.scratch + (quantized ? layout.quantized : 0);
      step.threads.forEach((tokens + tile - 1) / tile, grainOf(8 * tile * x_.columns), [&](size_t begin, size_t end) {
        kernels().prepare(x_.floats(), type, tokens, x_.columns, prepared, begin, end);
      });
    }

    size_t units = 0;
    for (const auto& product : products_) units += unitsOf(product, layout.unit);
    step.threads.forEach(units, grainOf(2 * tokens * x_.columns * layout.unit), [&](size_t begin, size_t end, int thread) {
      size_t first = 0;
      for (const auto& product : products_) {
        const size_t count = unitsOf(product, layout.unit);
        for (size_t unit = std::max(begin, first); unit < std::min(end, first + count); unit++) {
          compute(product, (unit - first) * layout.unit, step, layout, thread);
        }
        first += count;
      }
    });
  }

 private:
  /// Where things are in the scratch memory of a run: prepared tokens, then each thread's panel and gated values.
  struct Layout {
    Layout(const Linear& linear, size_t tokens, int threads) : tokens(tokens) {
      for (const auto type : {kernel::DataType::Float32, kernel::DataType::Q8_0}) {
        if (!linear.uses(isQuantized(type))) continue;
        if (isQuantized(type)) quantized = threadStart;
        threadStart += aligned(kernels().preparedBytes(type, tokens, linear.x_.columns));
        panel = std::max(panel, aligned(kernels().panelBytes(type, tokens, linear.x_.columns)));
      }
      for (const auto& product : linear.products_) {
        if (product.gated) threadBytes = aligned(tokens * unit * sizeof(float));
      }
      threadBytes += panel;
      bytes = threadStart + threadBytes * static_cast<size_t>(threads);
    }

    size_t tokens, unit = kernels().panelRows;
    size_t quantized = 0, threadStart = 0, panel = 0, threadBytes = 0, bytes = 0;
  };

  bool uses(bool quantized) const {
    for (const auto& product : products_) {
      if (isQuantized(product.matrix.weight.type) == quantized || (product.gated && isQuantized(product.up.weight.type) == quantized))
        return true;
    }
    return false;
  }

  static size_t unitsOf(const Product& product, size_t unit) { return (product.y.columns + unit - 1) / unit; }

  /// Outputs [row, row + unit) of one product.
  void compute(const Product& product, size_t row, const Step& step, const Layout& layout, int thread) {
    const size_t columns = product.y.columns, end = std::min(row + layout.unit, columns);
    uint8_t* own = step.scratch + layout.threadStart + layout.threadBytes * static_cast<size_t>(thread);
    float* y = product.y.floats();
    multiply(product.matrix, product.residual, y, columns, step, layout, own, row, end);
    if (!product.gated) return;

    auto* up = reinterpret_cast<float*>(own + layout.panel);  // [tokens, unit]
    multiply(product.up, nullptr, up - row, layout.unit, step, layout, own, row, end);
    for (size_t token = 0; token < layout.tokens; token++) {
      float* gate = y + token * columns + row;
      kernels().siluMultiply(gate, up + token * layout.unit, gate, end - row);
    }
  }

  void multiply(const Matrix& matrix, const float* residual, float* y, size_t stride, const Step& step, const Layout& layout,
                uint8_t* panel, size_t begin, size_t end) {
    const auto type = matrix.weight.type;
    kernel::Linear op{x_.floats(), matrix.weight.data, type,       matrix.bias,       residual, y,
                      stride,      layout.tokens,      x_.columns, matrix.weight.rows};
    if (matrix.weight.isPacked) op.packed = matrix.weight.data;
    kernels().linear(op, step.scratch + (isQuantized(type) ? layout.quantized : 0), panel, begin, end);
  }

  const Value x_;
  std::vector<Product> products_;
};

}  // namespace

std::unique_ptr<Operation> makeLinear(const Node& node) { return std::make_unique<Linear>(node); }

}  // namespace troupe::program
