#include <future>
#include <numeric>

#include "collective/collectives.h"
#include "program/operations.h"
#include "program/paged_attention.h"
#include "program/sequence_scheme.h"

namespace troupe::program {
namespace {

using collective::Communicator;

/// Which tokens each query sees on every rank: inputs begin and end [queries] of this rank's tokens → [ranks][begin, end]
/// [queries], whose memory is a value's of [queries, 2 · ranks].
class GatherSpans : public Operation {
 public:
  explicit GatherSpans(const Node& node)
      : begin_(*node.inputs.at(0)), end_(*node.inputs.at(1)), spans_(*node.outputs.at(0)), group_(*node.group),
        bytes_(static_cast<size_t>(group_.size())) {}

  void run(const Step& step) override {
    const size_t queries = step.rows(begin_);
    std::fill(bytes_.begin(), bytes_.end(), 2 * queries * sizeof(int32_t));
    int32_t* own = spans_.ints() + 2 * queries * static_cast<size_t>(group_.rank());
    std::copy_n(begin_.ints(), queries, own);
    std::copy_n(end_.ints(), queries, own + queries);
    collective::allGather(group_, reinterpret_cast<uint8_t*>(own), bytes_.data(), spans_.data);
  }

 private:
  const Value begin_, end_, spans_;
  Communicator& group_;
  std::vector<size_t> bytes_;
};

/// Cached blocks [first, first + count) of a sequence.
struct Extent {
  size_t first = 0, count = 0;
};

/// Inputs: those of attention, the query being [tokens, heads · headSize] of this rank and what follows it about the queries
/// of all ranks, rank by rank; how many queries each rank gives; and their spans as GatherSpans makes them.
class SequenceAttention : public Operation {
 public:
  explicit SequenceAttention(const Node& node)
      : query_(*node.inputs.at(0)), batch_(*node.inputs.at(3)), tables_(*node.inputs.at(6)), counts_(node.inputs.at(8)->ints()),
        spans_(node.inputs.at(9)->ints()), out_(node.outputs.at(0)->floats()), group_(*node.group),
        ranks_(static_cast<size_t>(group_.size())), rank_(static_cast<size_t>(group_.rank())), op_(attentionOf(node)),
        attention_(op_, batch_.rows), sent_(ranks_), received_(ranks_) {
    op_.partial = true;
    if (op_.keyHeads % ranks_ == 0) exchanged_ = std::make_unique<Exchanged>(op_, ranks_, rank_, batch_.rows);
  }

  size_t scratchBytes(int threads) const override {
    return std::max(attention_.scratchBytes(threads), exchanged_ ? exchanged_->attention.scratchBytes(threads) : 0);
  }

  std::optional<size_t> partBytes(const Step& /*step*/) const override { return attendedBytes(op_); }

  void run(const Step& step) override {
    queries_ = step.rows(batch_);
    tokens_ = step.rows(query_);
    first_ = static_cast<size_t>(std::accumulate(counts_, counts_ + rank_, 0));
    const size_t cached = findExtents(step.rows(tables_));
    switch (
        chooseScheme({ranks_, queries_, cached, op_.heads, op_.keyHeads, op_.headSize, kernel::cachedBytes(op_.cacheType, op_.headSize)})) {
      case SequenceScheme::PassQueries: return passQueries(step);
      case SequenceScheme::PassKeys: return passKeys(step);
      case SequenceScheme::ExchangeHeads: return exchangeHeads(step);
    }
  }

 private:
  /// Heads [begin, end), and the key/value heads that they read.
  struct Part {
    size_t begin, end, keyBegin, keyEnd;

    size_t heads() const { return end - begin; }
    size_t keyHeads() const { return keyEnd - keyBegin; }
  };

  /// A rank's share of exchanged heads: every rank has as many key/value heads, with the heads that read them.
  struct Exchanged {
    Exchanged(const kernel::Attention& all, size_t ranks, size_t rank, size_t mostQueries)
        : parts(partsOf(all, ranks)), keyHeadOf(keyHeadsOf(all, parts[rank])), op(shapeOf(all, parts[rank], keyHeadOf.data())),
          attention(op, mostQueries) {}

    static std::vector<Part> partsOf(const kernel::Attention& all, size_t ranks) {
      const size_t each = all.keyHeads / ranks;
      const auto firstOf = [&](size_t keyHead) {
        return static_cast<size_t>(std::lower_bound(all.keyHeadOf, all.keyHeadOf + all.heads, static_cast<int32_t>(keyHead)) -
                                   all.keyHeadOf);
      };
      std::vector<Part> parts;
      for (size_t r = 0; r < ranks; r++) parts.push_back({firstOf(r * each), firstOf((r + 1) * each), r * each, (r + 1) * each});
      return parts;
    }

    static std::vector<int32_t> keyHeadsOf(const kernel::Attention& all, const Part& part) {
      std::vector<int32_t> keyHeads(all.keyHeadOf + part.begin, all.keyHeadOf + part.end);
      for (auto& keyHead : keyHeads) keyHead -= static_cast<int32_t>(part.keyBegin);
      return keyHeads;
    }

    static kernel::Attention shapeOf(kernel::Attention op, const Part& part, const int32_t* keyHeadOf) {
      op.heads = part.heads();
      op.keyHeads = part.keyHeads();
      op.keyHeadOf = keyHeadOf;
      return op;
    }

    const std::vector<Part> parts;
    const std::vector<int32_t> keyHeadOf;
    const kernel::Attention op;
    PagedAttention attention;
  };

  /// Buffers of a step, which keep what they hold until they are asked for again.
  enum Buffer : size_t { kPartials, kGathered, kReturned, kKeys, kArriving, kArrivingNext };

  const int32_t* beginOn(size_t rank) const { return spans_ + 2 * rank * queries_; }
  const int32_t* endOn(size_t rank) const { return beginOn(rank) + queries_; }
  size_t width() const { return op_.heads * op_.headSize; }
  size_t blockBytes(size_t keyHeads) const { return keyHeads * op_.blockTokens * kernel::cachedBytes(op_.cacheType, op_.headSize); }

  /// Finds which blocks the queries of all ranks see on each rank, and returns how many tokens those hold together.
  size_t findExtents(size_t sequences) {
    extents_.assign(ranks_ * sequences, {});
    blocksOn_.assign(ranks_, 0);
    sequences_ = sequences;
    size_t blocks = 0;
    for (size_t rank = 0; rank < ranks_; rank++) {
      Extent* extents = &extents_[rank * sequences];
      for (size_t query = 0; query < queries_; query++) {
        const int32_t begin = beginOn(rank)[query], end = endOn(rank)[query];
        if (begin >= end) continue;
        Extent& extent = extents[op_.sequence[query]];
        const size_t first = static_cast<size_t>(begin) / op_.blockTokens, last = (static_cast<size_t>(end) - 1) / op_.blockTokens + 1;
        const size_t from = extent.count == 0 ? first : std::min(first, extent.first), to = std::max(last, extent.first + extent.count);
        extent = {from, to - from};
      }
      for (size_t sequence = 0; sequence < sequences; sequence++) blocksOn_[rank] += extents[sequence].count;
      blocks += blocksOn_[rank];
    }
    return blocks * op_.blockTokens;
  }

  void passQueries(const Step& step) {
    const size_t row = width() + op_.heads;
    float* queries = step.workspace.floats(kGathered, queries_ * width());
    for (size_t rank = 0; rank < ranks_; rank++) {
      received_[rank] = static_cast<size_t>(counts_[rank]) * width() * sizeof(float);
      sent_[rank] = static_cast<size_t>(counts_[rank]) * row * sizeof(float);
    }
    collective::allGather(group_, query_.data, received_.data(), reinterpret_cast<uint8_t*>(queries));

    float* partials = step.workspace.floats(kPartials, queries_ * row);
    kernel::Attention op = op_;
    op.query = queries;
    op.queries = queries_;
    op.out = partials;
    attention_.run(op, step.threads, step.scratch);

    float* returned = step.workspace.floats(kReturned, ranks_ * tokens_ * row);
    std::fill(received_.begin(), received_.end(), tokens_ * row * sizeof(float));
    collective::allToAll(group_, reinterpret_cast<uint8_t*>(partials), sent_.data(), reinterpret_cast<uint8_t*>(returned),
                         received_.data());
    joinPartials(returned, ranks_, tokens_, op_.heads, op_.headSize, out_, step.threads);
  }

  /// Ring Attention (Liu et al., arXiv 2310.01889): each rank passes on what it has while it attends over it.
  void passKeys(const Step& step) {
    const size_t row = width() + op_.heads;
    const Part all{0, op_.heads, 0, op_.keyHeads};
    float* partials = step.workspace.floats(kPartials, ranks_ * tokens_ * row);
    uint8_t* held = bytes(step, kKeys, bytesOn(rank_, all));
    packBlocks(step, all, held);
    for (size_t hop = 0; hop < ranks_; hop++) {
      const size_t holder = (rank_ + ranks_ - hop) % ranks_, next = (holder + ranks_ - 1) % ranks_;  // whose blocks are here, and come next
      uint8_t* arriving = nullptr;
      std::future<void> moving;
      if (hop + 1 < ranks_) {
        arriving = bytes(step, hop % 2 == 0 ? kArriving : kArrivingNext, bytesOn(next, all));
        moving = std::async(std::launch::async, [&, held, arriving] { shift(held, bytesOn(holder, all), arriving, bytesOn(next, all)); });
      }
      kernel::Attention op = hop == 0 ? op_ : over(held, holder, all, op_);
      op.query = query_.floats();
      op.sequence += first_;
      op.begin = beginOn(holder) + first_;
      op.end = endOn(holder) + first_;
      op.queries = tokens_;
      op.out = partials + holder * tokens_ * row;
      attention_.run(op, step.threads, step.scratch);
      if (moving.valid()) moving.get();
      held = arriving;
    }
    joinPartials(partials, ranks_, tokens_, op_.heads, op_.headSize, out_, step.threads);
  }

  /// Sends to the rank after this one and receives from the one before.
  void shift(uint8_t* outgoing, size_t outgoingBytes, uint8_t* incoming, size_t incomingBytes) {
    const auto type = collective::DataType::UInt8;
    std::vector<collective::Message> messages;
    const int after = static_cast<int>((rank_ + 1) % ranks_), before = static_cast<int>((rank_ + ranks_ - 1) % ranks_);
    if (outgoingBytes > 0) messages.push_back({after, true, outgoing, outgoingBytes, type});
    if (incomingBytes > 0) messages.push_back({before, false, incoming, incomingBytes, type});
    if (!messages.empty()) collective::exchange(group_, messages);
  }

  /// DeepSpeed-Ulysses (Jacobs et al., arXiv 2309.14509), over caches that stay divided by tokens.
  void exchangeHeads(const Step& step) {
    const auto& parts = exchanged_->parts;
    const Part& own = parts[rank_];
    const size_t ownWidth = own.heads() * op_.headSize, ownRow = ownWidth + own.heads();

    float* outgoing = step.workspace.floats(kGathered, tokens_ * width());
    float* queries = step.workspace.floats(kReturned, queries_ * ownWidth);
    eachPart(
        step,
        [&](const Part& part, size_t token, float* packed) {
          std::memcpy(packed, query_.floats() + token * width() + part.begin * op_.headSize, part.heads() * op_.headSize * sizeof(float));
        },
        outgoing);
    for (size_t rank = 0; rank < ranks_; rank++) {
      sent_[rank] = tokens_ * parts[rank].heads() * op_.headSize * sizeof(float);
      received_[rank] = static_cast<size_t>(counts_[rank]) * ownWidth * sizeof(float);
    }
    exchange(outgoing, sent_, queries, received_);
    const auto returning = sent_, computed = received_;

    size_t arrivingBytes = 0, leavingBytes = 0;
    for (size_t rank = 0; rank < ranks_; rank++) {
      leavingBytes += sent_[rank] = bytesOn(rank_, parts[rank]);
      arrivingBytes += received_[rank] = bytesOn(rank, own);
    }
    uint8_t* leaving = bytes(step, kKeys, leavingBytes);
    uint8_t* packed = leaving;
    for (const Part& part : parts) {
      packBlocks(step, part, packed);
      packed += bytesOn(rank_, part);
    }
    uint8_t* arrived = bytes(step, kArriving, arrivingBytes);
    collective::allToAll(group_, leaving, sent_.data(), arrived, received_.data());

    float* partials = step.workspace.floats(kPartials, ranks_ * queries_ * ownRow);
    for (size_t rank = 0; rank < ranks_; rank++) {
      kernel::Attention op = over(arrived, rank, own, exchanged_->op);
      op.query = queries;
      op.begin = beginOn(rank);
      op.end = endOn(rank);
      op.queries = queries_;
      op.out = partials + rank * queries_ * ownRow;
      exchanged_->attention.run(op, step.threads, step.scratch);
      arrived += bytesOn(rank, own);
    }
    joinPartials(partials, ranks_, queries_, own.heads(), op_.headSize, queries, step.threads);

    exchange(queries, computed, outgoing, returning);
    eachPart(
        step,
        [&](const Part& part, size_t token, const float* packed) {
          std::memcpy(out_ + token * width() + part.begin * op_.headSize, packed, part.heads() * op_.headSize * sizeof(float));
        },
        outgoing);
  }

  void exchange(const float* in, const std::vector<size_t>& sent, float* out, const std::vector<size_t>& received) {
    collective::allToAll(group_, reinterpret_cast<const uint8_t*>(in), sent.data(), reinterpret_cast<uint8_t*>(out), received.data());
  }

  /// Visits this rank's tokens by the parts of their heads, which lie part by part in `packed`.
  template <class Visit>
  void eachPart(const Step& step, Visit&& visit, float* packed) {
    for (const Part& part : exchanged_->parts) {
      const size_t partWidth = part.heads() * op_.headSize;
      step.threads.forEach(tokens_, grainOf(4 * partWidth), [&](size_t begin, size_t end) {
        for (size_t token = begin; token < end; token++) visit(part, token, packed + token * partWidth);
      });
      packed += tokens_ * partWidth;
    }
  }

  /// Bytes of the keys and values of a part's heads that a rank holds for this step.
  size_t bytesOn(size_t rank, const Part& part) const { return 2 * blocksOn_[rank] * blockBytes(part.keyHeads()); }

  static uint8_t* bytes(const Step& step, Buffer buffer, size_t count) {
    return reinterpret_cast<uint8_t*>(step.workspace.floats(buffer, (count + sizeof(float) - 1) / sizeof(float)));
  }

  /// Copies this rank's blocks out of the cache, sequence by sequence: the keys of a part's heads, then the values.
  void packBlocks(const Step& step, const Part& part, uint8_t* to) {
    blocks_.clear();
    for (size_t sequence = 0; sequence < sequences_; sequence++) {
      const Extent& extent = extents_[rank_ * sequences_ + sequence];
      const int32_t* table = op_.blockTables + sequence * op_.blocksPerSequence + extent.first;
      blocks_.insert(blocks_.end(), table, table + extent.count);
    }
    const size_t whole = blockBytes(op_.keyHeads), own = blockBytes(part.keyHeads()), offset = blockBytes(part.keyBegin);
    uint8_t* values = to + blocks_.size() * own;
    step.threads.forEach(blocks_.size(), grainOf(2 * own), [&](size_t begin, size_t end) {
      for (size_t i = begin; i < end; i++) {
        const size_t from = static_cast<size_t>(blocks_[i]) * whole + offset;
        std::memcpy(to + i * own, op_.keys + from, own);
        std::memcpy(values + i * own, op_.values + from, own);
      }
    });
  }

  /// `op` over blocks that packBlocks() has packed on `rank`.
  kernel::Attention over(const uint8_t* packed, size_t rank, const Part& part, kernel::Attention op) {
    size_t longest = 1;
    const Extent* extents = &extents_[rank * sequences_];
    for (size_t sequence = 0; sequence < sequences_; sequence++)
      longest = std::max(longest, extents[sequence].first + extents[sequence].count);
    packedTables_.assign(sequences_ * longest, 0);
    int32_t block = 0;
    for (size_t sequence = 0; sequence < sequences_; sequence++) {
      int32_t* table = &packedTables_[sequence * longest + extents[sequence].first];
      for (size_t i = 0; i < extents[sequence].count; i++) table[i] = block++;
    }
    op.keys = packed;
    op.values = packed + blocksOn_[rank] * blockBytes(part.keyHeads());
    op.blockTables = packedTables_.data();
    op.blocksPerSequence = longest;
    return op;
  }

  const Value query_, batch_, tables_;
  const int32_t* counts_;
  const int32_t* spans_;
  float* out_;
  Communicator& group_;
  const size_t ranks_, rank_;
  kernel::Attention op_;
  PagedAttention attention_;
  std::unique_ptr<Exchanged> exchanged_;  // where heads can be

  // Of the step under way:
  size_t queries_ = 0, tokens_ = 0, first_ = 0, sequences_ = 0;  // `first_` is this rank's first query
  std::vector<Extent> extents_;                                  // [rank][sequence]
  std::vector<size_t> blocksOn_, sent_, received_;               // by rank
  std::vector<int32_t> blocks_, packedTables_;
};

}  // namespace

std::unique_ptr<Operation> makeGatherSpans(const Node& node) { return std::make_unique<GatherSpans>(node); }
std::unique_ptr<Operation> makeSequenceAttention(const Node& node) { return std::make_unique<SequenceAttention>(node); }

}  // namespace troupe::program
