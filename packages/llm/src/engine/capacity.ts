import { blocksFor, type Deployment } from '../planner/deployment.js'
import type { StepLimits } from './stage-program.js'

/** Tokens of a step of a deployment: of a chunk, or one of each sequence. */
export function stepTokens({ chunkTokens, sequences }: Pick<Deployment, 'chunkTokens' | 'sequences'>): number {
  return Math.max(chunkTokens, sequences)
}

/** Tokens of a step that one sequence rank may get: its even share, and a token more of each sequence. */
export function rankTokens({ plan, ...sizes }: Pick<Deployment, 'plan' | 'chunkTokens' | 'sequences'>): number {
  const tokens = stepTokens(sizes)
  if (plan.sequence === 1) return tokens
  return Math.min(tokens, Math.ceil(tokens / plan.sequence) + sizes.sequences)
}

/** The limits of the steps of a deployment, which every worker's memory is made for. */
export function stepLimits(deployment: Deployment): StepLimits {
  const { plan, sequences, scoring, stepsAhead, contextLength, cache } = deployment
  const tokens = rankTokens(deployment)
  const queries = stepTokens(deployment)
  const outputs = scoring ? tokens : Math.min(tokens, sequences)
  return {
    ...{ tokens, queries, sequences, outputs },
    allOutputs: Math.min(queries, outputs * plan.sequence),
    feedbackSteps: stepsAhead + plan.pipeline,
    blocksPerSequence: blocksFor(contextLength, plan.sequence, cache.blockTokens),
  }
}
