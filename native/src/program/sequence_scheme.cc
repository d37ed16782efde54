#include "program/sequence_scheme.h"

#include <stdexcept>

namespace troupe::program {

size_t bytesMoved(SequenceScheme scheme, const SequenceWork& work) {
  const size_t others = work.ranks - 1, headBytes = work.headSize * sizeof(float);
  const size_t queries = work.queries * work.heads * headBytes, cached = work.cachedTokens * 2 * work.keyHeads * work.cachedHeadBytes;
  switch (scheme) {
    // Each query goes to all other ranks, and from each of them comes a result of its size with a log-sum-exp a head.
    case SequenceScheme::PassQueries: return others * (2 * queries + work.queries * work.heads * sizeof(float));
    // Each token's keys and values pass all other ranks.
    case SequenceScheme::PassKeys: return others * cached;
    // Queries, results, keys and values go to the rank that computes their head, which is another one for all but 1/ranks.
    case SequenceScheme::ExchangeHeads: return others * (2 * queries + cached) / work.ranks;
  }
  throw std::logic_error("no such scheme");
}

SequenceScheme chooseScheme(const SequenceWork& work) {
  SequenceScheme best = SequenceScheme::PassKeys;
  for (const auto scheme : {SequenceScheme::PassQueries, SequenceScheme::ExchangeHeads}) {
    if (scheme == SequenceScheme::ExchangeHeads && work.keyHeads % work.ranks != 0) continue;
    if (bytesMoved(scheme, work) < bytesMoved(best, work)) best = scheme;
  }
  return best;
}

}  // namespace troupe::program
