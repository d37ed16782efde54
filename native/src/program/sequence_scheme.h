#pragma once

#include <cstddef>

namespace troupe::program {

/// How ranks that each hold some tokens of the same sequences attend over all of them.
enum class SequenceScheme {
  /// Every rank attends with the queries of all over the tokens that it holds, and sends back what it found.
  PassQueries,
  /// Keys and values travel a ring, and every rank attends with its own queries as they come by.
  PassKeys,
  /// Heads are exchanged, so that every rank attends with all queries over all tokens, for some of the heads.
  ExchangeHeads,
};

/// One attention of a group of ranks, counted over all of them.
struct SequenceWork {
  size_t ranks, queries, cachedTokens, heads, keyHeads, headSize;
  size_t cachedHeadBytes;  // of one head's key, or value, of a token
};

/// Bytes that all ranks together send.
size_t bytesMoved(SequenceScheme scheme, const SequenceWork& work);

/// The scheme that moves the least, which is the same on all ranks; of equals the first that can hide its transfers behind
/// computation. As a rule: PassQueries where queries are few beside what is cached (decoding, and later chunks of a prompt);
/// else PassKeys on few ranks and ExchangeHeads on many, whose traffic does not grow with them. ExchangeHeads needs as many
/// key/value heads for every rank (compare "Context Parallelism for Scalable Million-Token Inference", arXiv 2411.01783,
/// section 3.4, and DeepSpeed-Ulysses, arXiv 2309.14509, section 3.2).
SequenceScheme chooseScheme(const SequenceWork& work);

}  // namespace troupe::program
