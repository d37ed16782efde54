import { type Cluster, describeActor, InvalidInputError, killActor, type Mesh, type NodeInfo } from '@troupe/core'
import type { Precision, ProgramDevice } from '@troupe/tensor'
import type { ParallelPlan } from '../parallel/plan.js'
import { type Deployment, layersOf, planDimensions, type WorkerPlacement, workersOf } from '../planner/deployment.js'
import { rangesOf } from '../planner/stage-layers.js'
import type { LoadFormat } from '../weights/quantize.js'
import { stepLimits } from './capacity.js'
import type { LoadProgress } from './stage-parts.js'
import { type Invitations, type ModelWorker, RemoteModelWorker, type WorkerInfo, type WorkerSpec } from './worker.js'

/** A running worker, as reported by the engine. */
export interface EngineWorker extends WorkerInfo {
  replica: number
  coordinates: ParallelPlan
  name: string
  pid: number
  nodeId: string
}

/** A model, how its weights are loaded and its sums are sent, and where it is computed. */
export interface LoadedModel {
  /** Its path, on every node. */
  model: string
  loadFormat?: LoadFormat
  communication: Precision
  device: ProgramDevice
}

/** The workers of a replica, which have loaded their parts of the model. */
export interface LaunchedWorkers {
  mesh: Mesh<ModelWorker>
  workers: EngineWorker[]
}

/**
 * Starts the workers of a replica of a deployment, each on its node, and loads each one's part of the model.
 * @param onProgress Is told how far the worker of a rank is.
 * @throws InvalidInputError if the deployment is not of the cluster; what a worker throws that cannot load its part.
 */
export async function launch(
  cluster: Cluster,
  deployment: Deployment,
  loaded: LoadedModel,
  replica: number,
  onProgress: (rank: number, progress: LoadProgress) => void,
): Promise<LaunchedWorkers> {
  const placements = workersOf(deployment).filter((placement) => placement.replica === replica)
  const nodes = await cluster.nodes()
  const mesh = await RemoteModelWorker.options({
    nodeIds: placements.map(({ node }) => nodeOf(nodes, node).id),
  }).spawnMesh(planDimensions(deployment), ({ rank }): [WorkerSpec] => [
    workerSpec(deployment, placements[rank]!, loaded),
  ])
  try {
    return { mesh, workers: await connectWorkers(mesh, deployment.plan, placements, onProgress) }
  } catch (error) {
    await Promise.allSettled(mesh.members.map(({ handle }) => killActor(handle)))
    throw error
  }
}

/** A description of more nodes than there are, which may have been edited, is run on those there are, one after the other. */
function nodeOf(nodes: readonly NodeInfo[], node: number): NodeInfo {
  const found = nodes[node % nodes.length]
  if (found) return found
  throw new InvalidInputError(`the deployment has workers on node ${node}; the cluster has ${nodes.length}`)
}

function workerSpec(deployment: Deployment, placement: WorkerPlacement, loaded: LoadedModel): WorkerSpec {
  const { plan, cache } = deployment
  const { replica, coordinates, threads, cores } = placement
  const { model, loadFormat, communication, device } = loaded
  return {
    model,
    ...(loadFormat ? { loadFormat } : {}),
    ...{ communication, device, plan, coordinates, threads },
    layers: rangesOf(layersOf(deployment, replica))[coordinates.pipeline]!,
    spin: cores !== undefined,
    cacheType: cache.type,
    cacheBlocks: cache.blocks,
    blockTokens: cache.blockTokens,
    limits: stepLimits(deployment),
  }
}

/** Lets the workers meet along each dimension, and waits until all have loaded their part. */
async function connectWorkers(
  mesh: Mesh<ModelWorker>,
  plan: ParallelPlan,
  placements: readonly WorkerPlacement[],
  onProgress: (rank: number, progress: LoadProgress) => void,
): Promise<EngineWorker[]> {
  const invitations: Invitations = {}
  for (const dimension of ['pipeline', 'sequence', 'tensor'] as const) {
    if (plan[dimension] > 1) invitations[dimension] = mesh.communicator(dimension)
  }
  return Promise.all(
    mesh.members.map(async ({ handle }, rank) => {
      const { replica, coordinates, cores } = placements[rank]!
      const loading = cores ? handle.loadInParts(invitations, cores) : handle.loadInParts(invitations)
      for await (const progress of loading) onProgress(rank, progress)
      return { ...(await handle.info()), replica, coordinates, ...describeActor(handle) }
    }),
  )
}
