import { actor, type Invitation } from '@troupe/core'
import type { ModelConfig } from '@troupe/llm'
import { Tensor, Trace, type Value } from '@troupe/tensor'

const BLOCK_TOKENS = 16
const NUMBERS = Float32Array.from({ length: 4093 }, (_, i) => ((i * 2_654_435_761) % 1021) / 510 - 1)

/** The attention of a model, of whose `depth` cached tokens each of `ranks` holds an equal share. */
export interface AttentionWork {
  config: ModelConfig
  depth: number
  ranks: number
}

/** One rank that attends to a cache of random numbers, all layers of it, with the query of one token, which rank 0 has. */
export class AttentionRank {
  #run: (() => Promise<void>) | undefined

  /** Makes the caches, and meets the other ranks. */
  async prepare({ config, depth, ranks }: AttentionWork, rank: number, invitation?: Invitation): Promise<void> {
    const group = await invitation?.join({ spin: true })
    const { heads, keyValueHeads: keyHeads, headSize } = config
    const tokens = Math.floor((depth * (rank + 1)) / ranks) - Math.floor((depth * rank) / ranks)
    const blocks = Math.ceil(tokens / BLOCK_TOKENS)
    const trace = new Trace()
    const rows = trace.symbol('tokens', 1)
    const queries = group ? trace.symbol('queries', 1) : rows
    const [sequence, begin, end] = ['sequence', 'begin', 'end'].map((name) => trace.input(name, queries))
    const own = {
      sequence: sequence!,
      begin: begin!,
      end: end!,
      blockTables: trace.input('blockTables', trace.symbol('sequences', 1), blocks),
    }
    const counts = trace.input('counts', ranks)
    const spans = group && trace.gatherSpans(own.begin, own.end, group)
    const perHead = heads / keyHeads
    const keyHeadOf = trace.constant(
      Tensor.from(
        'int32',
        [heads],
        Array.from({ length: heads }, (_, head) => Math.floor(head / perHead)),
      ),
    )
    const query = trace.constant(random(1, heads * headSize))
    let x = trace.gatherRows(query, trace.input('row', rows))
    const options = { headSize, keyHeads, blockTokens: BLOCK_TOKENS, scale: 1 / Math.sqrt(headSize) }
    for (let layer = 0; layer < config.layers; layer++) {
      const [keys, values] = [0, 1].map(() => trace.constant(random(blocks, keyHeads * BLOCK_TOKENS * headSize)))
      x = attend(x, keys!, values!)
    }
    function attend(x: Value, keys: Value, values: Value): Value {
      if (!group || !spans) return trace.attention(x, keys, values, own, keyHeadOf, options)
      return trace.sequenceAttention(x, keys, values, { own, counts, spans }, keyHeadOf, options, group)
    }

    const program = trace.compile({ x }, { threads: 1 })
    program.inputs.end!.set([tokens])
    program.inputs.counts!.set([1])
    const { blockTables } = program.inputs
    blockTables!.set(Array.from({ length: blockTables!.length }, (_, block) => block))
    this.#run = () => program.run({ queries: 1, sequences: 1, tokens: rank === 0 ? 1 : 0 })
  }

  /** Milliseconds that the attention of a token takes, as a mean over `tokens`. */
  async measure(tokens: number): Promise<number> {
    await this.#run!()
    const started = performance.now()
    for (let token = 0; token < tokens; token++) await this.#run!()
    return (performance.now() - started) / tokens
  }
}

export const RemoteAttentionRank = actor(import.meta.url, AttentionRank)

/** The same numbers over and over. */
function random(rows: number, columns: number): Tensor {
  const tensor = Tensor.zeros('float32', [rows, columns], { memory: 'private' })
  const { data } = tensor
  for (let start = 0; start < data.length; start += NUMBERS.length) {
    data.set(NUMBERS.subarray(0, data.length - start), start)
  }
  return tensor
}
