#pragma once

#include <algorithm>

#include "program/program.h"

namespace troupe::program {

/// Work for one piece of a divided loop: enough that handing it out costs little beside it.
constexpr size_t kGrainFlops = 1 << 16;

inline size_t grainOf(size_t flopsEach) { return std::max<size_t>(1, kGrainFlops / std::max<size_t>(1, flopsEach)); }

inline size_t aligned(size_t bytes) { return (bytes + 63) / 64 * 64; }

std::unique_ptr<Operation> makeLinear(const Node& node);
std::unique_ptr<Operation> makeAttention(const Node& node);
std::unique_ptr<Operation> makeSample(const Node& node);
std::unique_ptr<Operation> makeCountTokens(const Node& node);
std::unique_ptr<Operation> makeLogProbs(const Node& node);
std::unique_ptr<Operation> makeAllReduce(const Node& node);
std::unique_ptr<Operation> makeGatherSpans(const Node& node);
std::unique_ptr<Operation> makeSequenceAttention(const Node& node);

}  // namespace troupe::program
