import test from 'ava'
import fc from 'fast-check'
import { clusters, models, workloads } from '../testing/clusters.js'
import { choosePlanOn } from './choose-plan.js'
import { type ClusterSpec, countNodes } from './cluster.js'
import { defaultDeployment, unmeasuredCluster } from './default-deployment.js'
import { countReplicas, type Deployment, layersOf, type WorkerPlacement, workersOf } from './deployment.js'
import type { ModelShape } from './model-shape.js'
import { type Dimension, place } from './placement.js'
import { searchPlans } from './search.js'
import { isInfeasible, type Prediction, Simulator } from './simulate.js'

const mappings: Dimension[][] = [
  ['tensor', 'sequence', 'pipeline'],
  ['sequence', 'tensor', 'pipeline'],
  ['pipeline', 'tensor', 'sequence'],
  ['tensor', 'pipeline', 'sequence'],
]
const size = fc.integer({ min: 1, max: 4 })
const plans = fc.record({ pipeline: size, tensor: size, sequence: size })

function nodesOf(workers: readonly WorkerPlacement[]): Set<number> {
  return new Set(workers.map(({ node }) => node))
}

/** On how many nodes workers are, and the most of them on one. */
function spanOf(workers: readonly WorkerPlacement[]): { nodes: number; perNode: number } {
  const counts = new Map<number, number>()
  for (const { node } of workers) counts.set(node, (counts.get(node) ?? 0) + 1)
  return { nodes: counts.size, perNode: Math.max(...counts.values()) }
}

function isGroupOf(workers: readonly WorkerPlacement[], along: Dimension, of: WorkerPlacement): WorkerPlacement[] {
  return workers.filter(({ replica, coordinates }) => {
    const others = Object.keys(coordinates).filter((dimension) => dimension !== along) as Dimension[]
    return replica === of.replica && others.every((dimension) => coordinates[dimension] === of.coordinates[dimension])
  })
}

/** That workers are where their ranks, their nodes and their devices are counted to be. */
function checkPlacement(cluster: ClusterSpec, deployment: Deployment): void {
  const { plan, mapping, replicas } = deployment
  const workers = workersOf(deployment)
  const expect = (claim: boolean, what: string) => {
    if (!claim) throw new Error(`${what}: ${JSON.stringify({ plan, mapping, replicas })}`)
  }
  const groups = cluster.nodes.flatMap((group) => Array.from({ length: group.count }, () => group))
  for (const [node, group] of groups.entries()) {
    const there = workers.filter((worker) => worker.node === node)
    if (!group.cores) expect(there.length <= group.devices, `node ${node} has more workers than devices`)
    const ranges = there.flatMap(({ cores, threads }) => (cores ? [{ ...cores, end: cores.first + threads }] : []))
    for (const { all, first, end } of ranges) {
      expect(all <= group.devices && end <= all, 'cores that the node does not have')
      expect(ranges.filter((other) => other.first < end && first < other.end).length === 1, 'cores given twice')
    }
  }
  for (const { node } of workers) expect(node >= 0 && node < countNodes(cluster), `no node ${node}`)
  for (const worker of workers) {
    const closest = isGroupOf(workers, mapping[0]!, worker)
    const furthest = isGroupOf(workers, mapping[2]!, worker)
    if (plan[mapping[0]!] === plan[mapping[2]!]) {
      expect(nodesOf(closest).size <= nodesOf(furthest).size, `${mapping[0]} is further apart than ${mapping[2]}`)
    }
  }
}

/** That the stages' counted spans are those of the workers. */
function checkSpans(cluster: ClusterSpec, deployment: Deployment, order?: readonly number[]): void {
  const { plan, mapping } = deployment
  const workers = workersOf(deployment)
  const places = place(cluster, plan, countReplicas(deployment), mapping, order)!
  let replica = 0
  for (const { count, stages } of places) {
    for (let end = replica + count; replica < end; replica++) {
      for (const [stage, { tensor, sequence, sendsBetween }] of stages.entries()) {
        const own = workers.filter((one) => one.replica === replica && one.coordinates.pipeline === stage)
        const next = workers.filter((one) => one.replica === replica && one.coordinates.pipeline === stage + 1)
        const most = (dimension: Dimension, kind: 'nodes' | 'perNode') =>
          Math.max(...own.map((worker) => spanOf(isGroupOf(own, dimension, worker))[kind]))
        for (const [dimension, span] of [['tensor', tensor] as const, ['sequence', sequence] as const]) {
          if (most(dimension, 'nodes') > span.nodes || most(dimension, 'perNode') > Math.max(1, span.perNode)) {
            const found = [most(dimension, 'nodes'), most(dimension, 'perNode')]
            throw new Error(`${dimension} is on ${found}, counted ${JSON.stringify([span, deployment])}`)
          }
        }
        const crosses = next.some((to) => {
          const from = own.find(({ coordinates: { tensor, sequence } }) => {
            return tensor === to.coordinates.tensor && sequence === to.coordinates.sequence
          })
          return from!.node !== to.node
        })
        if (crosses && !sendsBetween)
          throw new Error(`stage ${stage} sends to another node: ${JSON.stringify(deployment)}`)
      }
    }
  }
}

function brief({ deployment, ...figures }: Prediction): string {
  return JSON.stringify([figures, deployment])
}

test('over any cluster and model, what is predicted is a deployment that is predicted the same once more', (t) => {
  let predicted = 0
  fc.assert(
    fc.property(clusters, models, workloads, (cluster, model, workload) => {
      const { chosen, fitting } = searchPlans(cluster, model, workload)
      if (!chosen) return
      for (const prediction of fitting.slice(0, 10)) {
        checkPlacement(cluster, prediction.deployment)
        const plain = JSON.parse(JSON.stringify(prediction.deployment)) as Deployment
        t.deepEqual(plain, prediction.deployment, 'a deployment is plain data')
      }
      const listed = new Simulator(cluster, model, workload)
      const { plan, replicas, mapping } = chosen
      const simulated = listed.simulate({ plan, replicas, mapping })
      if (isInfeasible(simulated)) return
      checkSpans(cluster, simulated.deployment)
      t.is(brief(listed.predict(simulated.deployment)), brief(simulated))
      predicted++
    }),
    { seed: 11, numRuns: 100 },
  )
  t.true(predicted > 40, `only ${predicted} of 100 clusters had a plan that fits`)
})

test('over any plan, mapping and nodes, workers are as close together as is counted', (t) => {
  const cores = fc.array(fc.integer({ min: 1, max: 8 }), { minLength: 1, maxLength: 5 })
  fc.assert(
    fc.property(plans, fc.constantFrom(...mappings), cores, size, (plan, mapping, cpus, replicas) => {
      const cluster = unmeasuredCluster(cpus.map((cpus, node) => ({ name: `${node}`, cpus, memory: 1e9 })))
      const sizes = { contextLength: 100, maxSequences: 4 }
      const deployment = defaultDeployment(cluster, llama, { plan, mapping, replicas, ...sizes })
      checkPlacement(cluster, deployment)
      checkSpans(cluster, deployment)
      t.is(workersOf(deployment).length, replicas * plan.pipeline * plan.tensor * plan.sequence)
      for (let replica = 0; replica < replicas; replica++) {
        t.is(
          layersOf(deployment, replica).reduce((a, b) => a + b),
          llama.layers,
        )
      }
    }),
    { numRuns: 300 },
  )
})

const format = { name: 'f32', bytesPerWeight: 4, block: 1 }
const llama: ModelShape = {
  ...{ layers: 8, hiddenSize: 64, intermediateSize: 172, heads: 8, keyValueHeads: 4, headSize: 8 },
  ...{ vocabularySize: 512, tiedEmbeddings: true, slidingWindow: Number.POSITIVE_INFINITY, slidingLayers: 0 },
  ...{ attention: format, feedForward: format, embedding: format, head: format, activationBytes: 4, cacheBytes: 4 },
}

test('the default deployment of one machine has cores divided evenly, and the cache of all contexts', (t) => {
  const cluster = unmeasuredCluster([{ name: 'here', cpus: 8, memory: 8e9 }])
  const sizes = { contextLength: 400, maxSequences: 16 }
  const plan = { pipeline: 2, tensor: 2, sequence: 1 }
  t.deepEqual(defaultDeployment(cluster, llama, { plan, ...sizes }), {
    plan,
    mapping: ['tensor', 'sequence', 'pipeline'],
    replicas: [{ count: 1, layers: [4, 4], shares: [{ node: 0, nodes: 1, workers: 4, threads: 2, cores: 8 }] }],
    contextLength: 400,
    sequences: 16,
    chunkTokens: 128,
    scoring: false,
    cache: { type: 'float32', tokens: 6400, blockTokens: 16, blocks: 400 },
    stepsAhead: 4,
  })
  const more = { threads: 3, cacheTokens: 500, scoring: true, layers: [6, 2], replicas: 2 }
  const asked = defaultDeployment(cluster, llama, { plan: { ...plan, tensor: 1, sequence: 2 }, ...sizes, ...more })
  t.deepEqual(asked.replicas, [
    { count: 2, layers: [6, 2], shares: [{ node: 0, nodes: 1, workers: 8, threads: 3, cores: 8 }] },
  ])
  t.deepEqual([asked.cache.tokens, asked.cache.blocks, asked.chunkTokens], [500, 16, 128])
  t.deepEqual(
    workersOf(asked).map(({ coordinates, cores }) => [coordinates.pipeline, coordinates.sequence, cores]),
    [0, 1].flatMap(() => [0, 1].flatMap((stage) => [0, 1].map((rank) => [stage, rank, undefined]))),
  )
  t.throws(() => defaultDeployment(cluster, llama, { plan, ...sizes, cacheTokens: 399 }), {
    message: /cacheTokens must be a whole number of at least the context of 400 tokens; found 399/,
  })
})

test('what is asked for is in the deployment that is chosen, and in its prediction', (t) => {
  const cluster = unmeasuredCluster([
    { name: 'a', cpus: 4, memory: 8e9 },
    { name: 'b', cpus: 4, memory: 8e9 },
  ])
  const asked = { model: 'm', contextLength: 400, maxSequences: 3, chunkTokens: 40, threads: 1, replicas: 2 }
  const { plan, deployment, prediction } = choosePlanOn(cluster, llama, asked)
  t.deepEqual(prediction.deployment, deployment)
  t.deepEqual(plan, deployment.plan)
  t.is(countReplicas(deployment), 2)
  t.deepEqual([deployment.sequences, deployment.chunkTokens, deployment.contextLength], [3, 40, 400])
  t.true(workersOf(deployment).every(({ threads }) => threads === 1))
  const { memory } = prediction.stages[0]!
  const { cache } = deployment
  const layers = deployment.replicas[0]!.layers[0]!
  const keyHeads = Math.ceil(llama.keyValueHeads / plan.tensor)
  t.is(memory.cache, layers * cache.blocks * cache.blockTokens * 2 * keyHeads * llama.headSize * 4)
})
