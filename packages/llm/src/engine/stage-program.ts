import { type CompileOptions, type Program, type RowSymbol, Tensor, Trace, type Value } from '@troupe/tensor'
import type { LayerContext, StepValues } from '../layers/context.js'
import type { ModelConfig } from '../models/config.js'
import { communicatorOf } from '../parallel/groups.js'
import { ADJUSTMENT_COLUMNS, MOST_BIASES, MOST_LOG_PROBS } from './sampler.js'
import type { StageParts } from './stage-parts.js'

/** The most that one step may hold; a stage's memory is made for it. */
export interface StepLimits {
  /** Tokens of this sequence rank, and of all. */
  tokens: number
  queries: number
  /** Rows of the block tables: sequences that are under way. */
  sequences: number
  /** Tokens of this sequence rank whose logits are wanted, and of all. */
  outputs: number
  allOutputs: number
  /** Steps whose sampled tokens the first stage takes in at once. */
  feedbackSteps: number
  /** Cache blocks of one sequence. */
  blocksPerSequence: number
}

/** A stage's program, and where the last one counts the tokens of texts: [sequences, vocabulary]. */
export interface Stage {
  program: Program
  counts?: Tensor<'int32'>
}

/**
 * One pipeline stage as a program: the first stage starts from token ids, later ones from what the stage before sends;
 * the last ends in logits, sampled tokens and final hidden states, earlier ones in sending. Sampled tokens go back to the first stage, which has
 * those that a step continues from when it begins, so that steps follow each other without anybody else.
 *
 * A stage whose pipeline has no communicator takes and leaves activations in its program's memory, as `hidden`.
 */
export function compileStage(
  parts: StageParts,
  context: LayerContext,
  config: ModelConfig,
  limits: StepLimits,
  options: CompileOptions,
): Stage {
  const { device } = context
  const { pipeline, sequence } = context.groups
  const isLinked = pipeline.communicator !== undefined
  const { first, layers, last } = parts
  const trace = new Trace()
  const step = stepValues(trace, context, config, limits)

  /** The token that was last sampled for each sequence. */
  const latest = Tensor.zeros('int32', [limits.sequences, 1], { memory: 'private', device })
  if (first && !last && isLinked) {
    const feedback = trace.symbol('feedbackTokens', limits.feedbackSteps * limits.allOutputs)
    const counts = trace.input('feedbackCounts', trace.symbol('feedbackSteps', limits.feedbackSteps))
    const tokens = trace.receiveParts(counts, feedback, 1, pipeline.size - 1, communicatorOf(pipeline))
    trace.scatterRows(tokens, trace.input('feedbackRows', feedback), trace.constant(latest))
  }
  let x: Value = first
    ? first.embedding.forward(trace, trace.resolve(step.ids, trace.constant(latest)))
    : isLinked
      ? trace.receive(step.tokens, config.hiddenSize, pipeline.rank - 1, communicatorOf(pipeline))
      : trace.input('hidden', step.tokens, config.hiddenSize, 'float32')
  for (const layer of layers) x = layer.forward(trace, x, step)

  if (!last && !isLinked) return { program: trace.compile({ hidden: x }, options) }
  if (!last) {
    trace.send(x, pipeline.rank + 1, communicatorOf(pipeline))
    return { program: trace.compile({}, options) }
  }
  const { norm, head } = last
  const logits = head.forward(trace, norm.forward(trace, trace.gatherRows(x, step.outputs)))
  const wantedHidden = trace.input('finalHidden', trace.symbol('finalHidden', limits.tokens))
  const finalHidden = norm.forward(trace, trace.gatherRows(x, wantedHidden))
  const { rows } = step.outputs
  // On the host, which samples for every device.
  const counts = Tensor.zeros('int32', [limits.sequences, config.vocabularySize], { memory: 'private' })
  const own = trace.sample(logits, trace.input('settings', rows, 4), {
    adjustments: trace.input('adjustments', rows, ADJUSTMENT_COLUMNS),
    biases: trace.input('biases', trace.symbol('biases', limits.allOutputs * MOST_BIASES), 2),
    counts: trace.constant(counts),
    masks: trace.input('masks', trace.symbol('masks', limits.allOutputs), Math.ceil(config.vocabularySize / 32)),
  })
  const logProbs = trace.logProbs(logits, own, trace.input('logProbs', rows), MOST_LOG_PROBS)
  const shared = sequence.size > 1
  const all = shared ? trace.symbol('allOutputs', limits.allOutputs) : own.rows
  const tokens = shared
    ? trace.allGatherRows(own, trace.input('outputCounts', sequence.size), all as RowSymbol, communicatorOf(sequence))
    : own
  if (first) trace.scatterRows(tokens, trace.input('outputRows', all), trace.constant(latest))
  else if (isLinked) trace.send(tokens, 0, communicatorOf(pipeline))
  trace.countTokens(tokens, trace.input('countRows', all), trace.constant(counts))
  return { program: trace.compile({ logits, tokens, logProbs, finalHidden }, options), counts }
}

function stepValues(trace: Trace, context: LayerContext, config: ModelConfig, limits: StepLimits): StepValues {
  const { sequence: group } = context.groups
  const tokens = trace.symbol('tokens', limits.tokens)
  const queries = group.size > 1 ? trace.symbol('queries', limits.queries) : tokens
  const positions = trace.input('positions', tokens)
  const { frequencies, scale } = config.rotary
  const turns = trace.constant(Tensor.from('float32', [frequencies.length], frequencies, { memory: 'private' }))
  const sequence = trace.input('sequence', queries)
  const end = trace.input('end', queries)
  const blockTables = trace.input('blockTables', limits.sequences, limits.blocksPerSequence)
  const counts = trace.input('counts', group.size)
  const spanFrom = (begin: Value): StepValues['attentionSpan'] => {
    const own = { sequence, begin, end, blockTables }
    return group.size > 1 ? { own, counts, spans: trace.gatherSpans(begin, end, communicatorOf(group)) } : own
  }
  const attentionSpan = spanFrom(trace.input('begin', queries))
  const windowBegin = trace.input('windowBegin', queries)
  return {
    tokens,
    ids: trace.input('ids', tokens),
    rotaryTable: trace.rotaryTable(positions, turns, scale),
    slots: trace.input('slots', tokens),
    attentionSpan,
    windowSpan: config.slidingLayers.includes(true) ? spanFrom(windowBegin) : attentionSpan,
    outputs: trace.input('outputs', trace.symbol('outputs', limits.outputs)),
  }
}
