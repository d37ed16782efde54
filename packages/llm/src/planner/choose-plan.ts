import { type Cluster, InvalidInputError } from '@troupe/core'
import { readConfig } from '../models/config.js'
import type { ParallelPlan } from '../parallel/plan.js'
import type { LoadFormat } from '../weights/quantize.js'
import { calibrate } from './calibration/calibrate.js'
import type { ClusterSpec } from './cluster.js'
import { DEFAULT_SEQUENCES, type Deployment, type DeploymentSizes, defaultCacheTokens } from './deployment.js'
import { type ModelShape, readModelShape } from './model-shape.js'
import type { Dimension } from './placement.js'
import { type SearchResult, searchPlans } from './search.js'
import type { Prediction } from './simulate.js'
import type { Objective } from './workload.js'

/** A model and its workload that a deployment is chosen for, and what of it is given. */
export interface PlanRequest extends Partial<DeploymentSizes> {
  /** A Hugging Face model directory or a GGUF file. */
  model: string
  weights?: LoadFormat
  /** Copies of the model; 1 by default. */
  replicas?: number
  /** The dimension whose ranks are closest together first. */
  mapping?: readonly Dimension[]
  /** Threads of each worker; by default the node's cores divided among its workers. */
  threads?: number
  /** Tokens of a prompt and of its answer; by default 512 and 128, or less in a shorter context. */
  promptTokens?: number
  outputTokens?: number
  /** Requests at a time; 1 by default. */
  concurrency?: number
  /** `latency` by default. */
  objective?: Objective
}

const TYPICAL = { prompt: 512, output: 128 }

/** A plan, the layers of its stages, and the deployment that was predicted to do best. */
export interface ChosenPlan {
  plan: ParallelPlan
  layers: readonly number[]
  deployment: Deployment
  prediction: Prediction
}

/**
 * The plan that a running cluster is predicted to do best with, after measuring its nodes unless that was done before.
 * @throws InvalidInputError if the model cannot be used, or no plan fits the cluster's memory.
 */
export async function choosePlan(cluster: Cluster, request: PlanRequest): Promise<ChosenPlan> {
  const shape = readModelShape(request.model, request.weights, request.cacheType)
  const calibration = await calibrate(cluster, shape)
  return choosePlanOn(calibration.cluster, shape, { ...request, ...sizesOfRequest(request) })
}

function sizesOfRequest(request: PlanRequest): { contextLength: number } {
  const limit = readConfig(request.model).contextLength
  return { contextLength: Math.min(request.contextLength ?? limit, limit) }
}

/**
 * The plan that a cluster is predicted to do best with.
 * @throws InvalidInputError if no plan fits the cluster's memory.
 */
export function choosePlanOn(
  cluster: ClusterSpec,
  shape: ModelShape,
  request: PlanRequest & { contextLength: number },
): ChosenPlan {
  const { model, contextLength, replicas = 1, maxSequences = DEFAULT_SEQUENCES, concurrency = 1 } = request
  const outputTokens = request.outputTokens ?? Math.min(TYPICAL.output, Math.max(1, contextLength >> 1))
  const promptTokens = request.promptTokens ?? Math.max(1, Math.min(TYPICAL.prompt, contextLength - outputTokens))
  const { cacheType, chunkTokens, scoring, threads, mapping, objective = 'latency' } = request
  const searchWith = (cacheTokens: number) =>
    searchPlans(
      cluster,
      shape,
      { promptTokens, outputTokens, concurrency: Math.max(concurrency, replicas), objective, cachedTokens: 0 },
      {
        sizes: { contextLength, maxSequences, cacheTokens, cacheType, chunkTokens, scoring },
        ...{ threads, replicas, reorders: false },
        ...(mapping ? { mapping } : {}),
      },
    )
  const cacheTokens =
    request.cacheTokens ?? defaultCacheTokens(cluster, shape, { contextLength, maxSequences, replicas })
  let found: SearchResult = searchWith(cacheTokens)
  // Where not even a share of the memory is left, one text at a time may still fit.
  if (!found.chosen && request.cacheTokens === undefined && cacheTokens > contextLength)
    found = searchWith(contextLength)
  const { chosen: prediction, infeasible } = found
  if (prediction) {
    const { plan, deployment } = prediction
    return { plan, layers: deployment.replicas[0]!.layers, deployment, prediction }
  }
  throw new InvalidInputError(
    `${model} does not fit this cluster in any plan: ${infeasible[0]?.reason ?? 'it has no devices'}; add nodes, or take a smaller context or quantized weights`,
  )
}
