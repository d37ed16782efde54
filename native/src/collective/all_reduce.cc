#include "collective/all_reduce.h"

#include <algorithm>

#include "collective/broadcast.h"
#include "collective/host_steps.h"
#include "collective/rank_order_reduction.h"
#include "collective/reduce.h"
#include "memory/copy.h"

namespace troupe::collective {
namespace {

constexpr size_t kMappedBytes = 16 << 10;  // from which on it pays to tell each other where the operands are
constexpr size_t kBlockBytes = 8 << 10;    // of each operand, so that what is passed on is still in the first cache

// Each host's ranks reduce to their leader, the leaders among themselves, and each tells its host's ranks.
void overHosts(Hosts& hosts, const uint8_t* in, uint8_t* out, size_t count, const Signature& signature) {
  const Reduction step = partialOf(signature.reduction);
  HostSteps steps(hosts, signature);
  reduce(steps.local, in, out, count, signature.type, step, steps.leader);
  if (steps.leads) {
    allReduce(steps.leaders, out, out, count, signature.type, step);
    finishReduction(out, count, signature, rankCount(hosts));
  }
  broadcast(steps.local, out, out, count * bytesOf(signature.type), steps.leader, signature.type);
}

// Every rank reduces its share straight out of all inputs into all outputs. False where some operand cannot be mapped.
bool whereOperandsAre(Group& group, Staging& staging, const uint8_t* in, uint8_t* out, size_t count, const Signature& signature) {
  const int size = group.size();
  const size_t width = bytesOf(signature.type), bytes = count * width;
  const Reduce reduce = reduceOf(signature.type, signature.reduction);
  Staging::Operands operands;
  if (!staging.share(signature, in, bytes, out, bytes, &operands)) return false;
  std::vector<const uint8_t*> sources(static_cast<size_t>(size));
  const size_t begin = shareStart(count, width, size, group.rank()) * width, end = shareStart(count, width, size, group.rank() + 1) * width;
  operands.populate(begin, end - begin);
  const bool streams = isStreamed(bytes);
  alignas(64) uint8_t block[kBlockBytes];
  for (size_t at = begin; at < end; at += kBlockBytes) {
    const size_t length = std::min(kBlockBytes, end - at);
    for (size_t r = 0; r < sources.size(); r++) {
      sources[r] = operands.in[r] + at;
      // What will be written is fetched for that at once, rather than shared with its owner's cache first.
      if (operands.out[r] != operands.in[r]) continue;
      for (size_t line = 0; line < length; line += 64) __builtin_prefetch(sources[r] + line, 1);
    }
    uint8_t* reduced = streams && out != in ? block : out + at;
    reduce(reduced, sources.data(), size, length / width);
    for (size_t r = 0; r < sources.size(); r++) {
      // What was read is in a cache already, and written there.
      const bool isRead = operands.out[r] == operands.in[r];
      streams && !isRead ? streamBytes(operands.out[r] + at, reduced, length) : copyBytes(operands.out[r] + at, reduced, length);
    }
  }
  staging.finish(signature);
  return true;
}

}  // namespace

void allReduce(Group& group, const uint8_t* in, uint8_t* out, size_t count, DataType type, Reduction reduction) {
  const Signature signature{OperationKind::AllReduce, type, reduction, 0, RankOrderReduction::kEveryRank, count * bytesOf(type), 0};
  Hosts* hosts = group.hosts();
  if (hosts != nullptr && reducesInSteps(type, reduction)) return overHosts(*hosts, in, out, count, signature);
  Staging* staging = group.staging();
  const bool mayMap = staging != nullptr && group.size() > 1 && signature.bytes >= kMappedBytes;
  if (mayMap && whereOperandsAre(group, *staging, in, out, count, signature)) return;
  RankOrderReduction(group, in, out, count, signature).run();
}

}  // namespace troupe::collective
