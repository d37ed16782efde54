#pragma once

#include <cstddef>

namespace troupe::program {

/// Bytes a second that threads together read from `bytes` of memory, best of a few rounds.
double readRate(size_t bytes, int threads);

/// Seconds that threads together take to add two arrays of `bytes` bytes of floats into a third.
double addTime(size_t bytes, int threads);

/// Seconds that a page of shared memory costs.
struct PageCosts {
  double fault;            // a new one, when it is first touched
  double populated;        // a new one among many that are populated in one call
  double mappedFault;      // one that there is, when it is first touched through another mapping
  double mappedPopulated;  // one of these among many that are populated in one call
  double touched;          // one that was touched before
};
/// As measured on `bytes` bytes.
PageCosts pageCosts(size_t bytes);

/// Independent float32 multiply-adds a second that threads together do, best of a few rounds.
double multiplyAddRate(int threads);

}  // namespace troupe::program
