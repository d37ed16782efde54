import { type Cluster, InvalidInputError } from '@troupe/core'
import type { CacheType } from '@troupe/tensor'
import { readConfig } from '../models/config.js'
import type { Plan } from '../parallel/plan.js'
import type { LoadFormat } from '../weights/quantize.js'
import { calibrate } from './calibration/calibrate.js'
import { readModelShape } from './model-shape.js'
import { searchPlans } from './search.js'
import type { Objective } from './workload.js'

/** What a plan is chosen for. */
export interface PlanRequest {
  /** A Hugging Face model directory or a GGUF file. */
  model: string
  weights?: LoadFormat
  cacheType?: CacheType
  /** Tokens that each request may have, prompt and answer together; the model's own limit by default. */
  contextLength?: number
  /** The most prompt tokens that a step takes; by default as many as the engine gives it. */
  chunkTokens?: number
  /** Tokens of a prompt and of its answer; by default 512 and 128, or less in a shorter context. */
  promptTokens?: number
  outputTokens?: number
  /** Requests at a time; 1 by default. */
  concurrency?: number
  /** `latency` by default. */
  objective?: Objective
}

const TYPICAL = { prompt: 512, output: 128 }

/** A plan, and the layers of its stages. */
export interface ChosenPlan {
  plan: Plan
  layers: number[]
}

/**
 * The plan that a running cluster is predicted to do best with, after measuring its nodes unless that was done before.
 * @throws InvalidInputError if the model cannot be used, or no plan fits the cluster's memory.
 */
export async function choosePlan(cluster: Cluster, request: PlanRequest): Promise<ChosenPlan> {
  const { model, weights, cacheType, concurrency = 1, objective = 'latency', chunkTokens } = request
  const limit = readConfig(model).contextLength
  const reservedTokens = Math.min(request.contextLength ?? limit, limit)
  const outputTokens = request.outputTokens ?? Math.min(TYPICAL.output, Math.max(1, reservedTokens >> 1))
  const promptTokens = request.promptTokens ?? Math.max(1, Math.min(TYPICAL.prompt, reservedTokens - outputTokens))
  const shape = readModelShape(model, weights, cacheType)
  const calibration = await calibrate(cluster, shape)
  const { chosen, infeasible } = searchPlans(
    calibration.cluster,
    shape,
    {
      ...{ promptTokens, outputTokens, reservedTokens, concurrency, objective, cachedTokens: 0 },
      ...(chunkTokens === undefined ? {} : { chunkTokens }),
    },
    { maxReplicas: 1, reorders: false },
  )
  if (chosen) return { plan: chosen.plan, layers: chosen.stages.map(({ layers }) => layers) }
  throw new InvalidInputError(
    `${model} does not fit this cluster in any plan: ${infeasible[0]?.reason ?? 'it has no devices'}; add nodes, or take a smaller context or quantized weights`,
  )
}
