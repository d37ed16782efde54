import { type Program, Tensor, Trace, type Value } from '@troupe/tensor'
import type { LayerContext, StepValues } from '../layers/context.js'
import type { CausalDecoder } from '../models/causal-decoder.js'
import type { ModelConfig } from '../models/config.js'
import { communicatorOf } from './groups.js'
import { partition, type Range } from './plan.js'

/** The most that one step may hold; a stage's memory is made for it. */
export interface StepLimits {
  /** Tokens of this sequence rank, and of all. */
  tokens: number
  queries: number
  sequences: number
  /** Tokens whose logits are wanted. */
  outputs: number
  /** Cache blocks of one sequence. */
  blocksPerSequence: number
}

/** The layers that a pipeline stage computes. */
export function stageLayers(context: LayerContext, config: ModelConfig): Range {
  const { pipeline } = context.groups
  return partition(config.layers, pipeline.size, pipeline.rank)
}

/**
 * One pipeline stage as a program: the first stage starts from token ids, later ones from what the stage before sends;
 * the last ends in logits, earlier ones in sending.
 */
export function compileStage(
  decoder: CausalDecoder,
  context: LayerContext,
  config: ModelConfig,
  limits: StepLimits,
  threads: number,
): Program {
  const { pipeline } = context.groups
  const trace = new Trace()
  const step = stepValues(trace, context, config, limits)

  let x: Value =
    pipeline.rank === 0
      ? decoder.embedding().forward(trace, step.ids)
      : trace.receive(step.tokens, config.hiddenSize, pipeline.rank - 1, communicatorOf(pipeline))
  const layers = stageLayers(context, config)
  for (let index = layers.start; index < layers.end; index++) x = decoder.layer(index).forward(trace, x, step)

  if (pipeline.rank < pipeline.size - 1) {
    trace.send(x, pipeline.rank + 1, communicatorOf(pipeline))
    return trace.compile({}, { threads })
  }
  const logits = decoder.head().forward(trace, trace.gatherRows(x, step.outputs))
  return trace.compile({ logits }, { threads })
}

function stepValues(trace: Trace, context: LayerContext, config: ModelConfig, limits: StepLimits): StepValues {
  const { sequence: group } = context.groups
  const tokens = trace.symbol('tokens', limits.tokens)
  const queries = group.size > 1 ? trace.symbol('queries', limits.queries) : tokens
  const sequences = trace.symbol('sequences', limits.sequences)
  const positions = trace.input('positions', tokens)
  const { frequencies, scale } = config.rotary
  const turns = trace.constant(Tensor.from('float32', [frequencies.length], frequencies, { memory: 'private' }))
  const sequence = trace.input('sequence', queries)
  const end = trace.input('end', queries)
  const blockTables = trace.input('blockTables', sequences, limits.blocksPerSequence)
  const counts = trace.input('counts', group.size)
  const seenFrom = (begin: Value): StepValues['seen'] => {
    const own = { sequence, begin, end, blockTables }
    return group.size > 1 ? { own, counts, spans: trace.gatherSpans(begin, end, communicatorOf(group)) } : own
  }
  const seen = seenFrom(trace.input('begin', queries))
  const windowBegin = trace.input('windowBegin', queries)
  return {
    tokens,
    ids: trace.input('ids', tokens),
    rotaryTable: trace.rotaryTable(positions, turns, scale),
    slots: trace.input('slots', tokens),
    seen,
    seenInWindow: config.slidingLayers.includes(true) ? seenFrom(windowBegin) : seen,
    outputs: trace.input('outputs', trace.symbol('outputs', limits.outputs)),
  }
}
