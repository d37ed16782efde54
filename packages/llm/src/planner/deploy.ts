import { type Cluster, InvalidInputError } from '@troupe/core'
import { readConfig } from '../models/config.js'
import { checkPlan, type ParallelPlan } from '../parallel/plan.js'
import { choosePlan, type PlanRequest } from './choose-plan.js'
import { defaultDeployment, unmeasuredCluster } from './default-deployment.js'
import { DEFAULT_SEQUENCES, type Deployment } from './deployment.js'
import { DEFAULT_CACHE_TYPE, modelShape, weightFormat } from './model-shape.js'
import type { Dimension } from './placement.js'

const DIMENSIONS: readonly Dimension[] = ['tensor', 'sequence', 'pipeline']

/** A request for a deployment on a cluster that runs. */
export interface DeploymentRequest extends PlanRequest {
  /** How the model is split; `auto` has the planner choose. One worker by default. */
  plan?: Partial<ParallelPlan> | 'auto'
  /** How many layers each pipeline stage has; by default such that the stages take equally long. */
  layers?: readonly number[]
}

/**
 * The deployment of a model on a cluster that runs: with what is asked for, and for the rest what the planner finds or the
 * defaults give. Every Engine is built so.
 * @throws InvalidInputError if what is asked for does not fit the model or the cluster.
 */
export async function deploymentFor(cluster: Cluster, request: DeploymentRequest): Promise<Deployment> {
  const { plan: asked, layers, mapping, weights = 'F32', cacheType = DEFAULT_CACHE_TYPE, ...others } = request
  const config = readConfig(request.model)
  if (mapping) checkMapping(mapping)
  if (asked === 'auto') {
    if (layers) throw new InvalidInputError("plan: 'auto' chooses how many layers each stage has; leave layers out")
    return (await choosePlan(cluster, request)).deployment
  }
  const plan: ParallelPlan = { pipeline: 1, tensor: 1, sequence: 1, ...asked }
  checkPlan(plan, config)
  const nodes = (await cluster.nodes()).map(({ host, cpus, resources }) => {
    return { name: host, cpus, memory: resources.memory ?? 0 }
  })
  return defaultDeployment(
    unmeasuredCluster(nodes),
    modelShape(config, () => weightFormat(weights), cacheType),
    {
      ...others,
      ...{ plan, layers, mapping, cacheType },
      contextLength: Math.min(request.contextLength ?? config.contextLength, config.contextLength),
      maxSequences: request.maxSequences ?? DEFAULT_SEQUENCES,
    },
  )
}

function checkMapping(mapping: readonly Dimension[]): void {
  const isComplete = Array.isArray(mapping) && DIMENSIONS.every((dimension) => mapping.includes(dimension))
  if (isComplete && mapping.length === DIMENSIONS.length) return
  throw new InvalidInputError(`mapping must name ${DIMENSIONS.join(', ')} once each; found ${JSON.stringify(mapping)}`)
}
