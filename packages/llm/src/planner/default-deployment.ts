import { InvalidInputError } from '@troupe/core'
import type { ParallelPlan } from '../parallel/plan.js'
import { FORMATS } from '../weights/formats.js'
import type { ClusterSpec } from './cluster.js'
import { type Deployment, type DeploymentSizes, defaultCacheTokens, sizesOf } from './deployment.js'
import type { ModelShape } from './model-shape.js'
import { DEFAULT_MAPPING, type Dimension, withThreads } from './placement.js'
import { ReplicaSimulation } from './replica-simulation.js'
import { Simulator } from './simulate.js'

/** The rates that one core reaches where nobody has measured: products of many tokens, and reading the weights of one. */
const CORE = { flops: 1e11, bandwidth: 2e10 }
const TYPICAL = { promptTokens: 512, outputTokens: 128, cachedTokens: 0 }

/** A node as it declares itself. */
export interface DeclaredNode {
  name: string
  cpus: number
  /** Bytes. */
  memory: number
}

/**
 * A cluster that has not been measured: cores are alike, and what they read and compute beside weights, and send each other,
 * takes no time.
 */
export function unmeasuredCluster(nodes: readonly DeclaredNode[]): ClusterSpec {
  const unlimited = { flops: Number.POSITIVE_INFINITY, bandwidth: Number.POSITIVE_INFINITY }
  const link = { latency: 0, bandwidth: Number.POSITIVE_INFINITY }
  const formats = Object.fromEntries(Object.keys(FORMATS).map((name) => [name.toLowerCase(), CORE]))
  return {
    nodes: nodes.map(({ name, cpus, memory }) => ({
      ...{ name, count: 1, devices: cpus, cores: true, link },
      device: {
        memory: memory / cpus,
        bandwidth: unlimited.bandwidth,
        ...{ formats, attention: unlimited, operation: 0 },
      },
    })),
    ...{ link, dispatch: 0, step: 0 },
  }
}

/** A request for a deployment whose plan is given. */
export interface DefaultDeploymentRequest extends DeploymentSizes {
  plan: ParallelPlan
  /** 1 by default. */
  replicas?: number | undefined
  /** Tensor ranks closest together, then sequence ranks, then stages by default. */
  mapping?: readonly Dimension[] | undefined
  /** Layers of each stage; by default such that stages take equally long where requests decode as long as they prefill. */
  layers?: readonly number[] | undefined
  /** Threads of each worker; by default the node's cores divided among its workers. */
  threads?: number | undefined
}

/**
 * The deployment of a plan that was not searched for.
 * @throws InvalidInputError if layers or cache are not those of the plan and the model, or there are more stages than layers.
 */
export function defaultDeployment(
  cluster: ClusterSpec,
  model: ModelShape,
  request: DefaultDeploymentRequest,
): Deployment {
  const { plan, replicas = 1, mapping = DEFAULT_MAPPING, layers, threads, contextLength, maxSequences } = request
  const cacheTokens =
    request.cacheTokens ?? defaultCacheTokens(cluster, model, { contextLength, maxSequences, replicas })
  const sizes = { plan, mapping, ...sizesOf(plan, { ...request, cacheTokens }) }
  const simulator = new Simulator(cluster, model, {
    ...TYPICAL,
    ...{ concurrency: replicas * maxSequences, objective: 'latency' },
  })
  const found = simulator.place(plan, replicas, mapping)
  if (!found) throw new InvalidInputError('the cluster has not enough devices for the plan; add nodes')
  const places = threads === undefined ? found : withThreads(found, threads)
  const given = layers && checkLayers(layers, model.layers, plan.pipeline)
  return {
    ...sizes,
    replicas: places.map(({ count, stages, shares }) => {
      const divided = given ?? new ReplicaSimulation(simulator, sizes, maxSequences, stages).balanced()
      if (divided) return { count, layers: divided, shares }
      throw new InvalidInputError(`${model.layers} layers cannot be divided among ${plan.pipeline} pipeline stages`)
    }),
  }
}

function checkLayers(counts: readonly number[], layers: number, stages: number): readonly number[] {
  const total = counts.reduce((sum, count) => sum + count, 0)
  const areWhole = counts.every((count) => Number.isInteger(count) && count > 0)
  if (counts.length === stages && total === layers && areWhole) return counts
  throw new InvalidInputError(
    `layers must be ${stages} whole numbers above 0, one for each pipeline stage, that add up to the model's ${layers}; found [${counts.join(', ')}]`,
  )
}
