/** What there is to do now, and what was done so far. */
export interface EngineLoad {
  /** Texts that are computed, and those that wait for a place or for room in the KV cache. */
  running: number
  waiting: number
  /** Blocks of the KV cache that texts under way use, and all there are. */
  blocksUsed: number
  blocks: number
  /** Steps that the workers were given so far. */
  steps: number
  /** Tokens of prompts that were looked for in the KV cache so far, and those that were found. */
  queriedTokens: number
  cachedTokens: number
  /** How often a text had to give up its blocks so far, to be computed again later. */
  preemptions: number
  /** How often the workers of a replica were started anew so far, since one of them had died. */
  restarts: number
}

/** The load of all together. */
export function totalLoad(loads: readonly Partial<EngineLoad>[]): EngineLoad {
  const total = (pick: (load: Partial<EngineLoad>) => number | undefined) =>
    loads.reduce((sum, load) => sum + (pick(load) ?? 0), 0)
  return {
    running: total(({ running }) => running),
    waiting: total(({ waiting }) => waiting),
    blocksUsed: total(({ blocksUsed }) => blocksUsed),
    blocks: total(({ blocks }) => blocks),
    steps: total(({ steps }) => steps),
    queriedTokens: total(({ queriedTokens }) => queriedTokens),
    cachedTokens: total(({ cachedTokens }) => cachedTokens),
    preemptions: total(({ preemptions }) => preemptions),
    restarts: total(({ restarts }) => restarts),
  }
}
