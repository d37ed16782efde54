import test from 'ava'
import fc from 'fast-check'
import { grandTeton, llama405B } from '../testing/context-parallelism-paper.js'
import { type ClusterSpec, countDevices, type NodeGroup } from './cluster.js'
import type { ModelShape } from './model-shape.js'
import { score, searchPlans } from './search.js'
import { isInfeasible, type Prediction, Simulator } from './simulate.js'
import type { Workload } from './workload.js'

const f16 = { name: 'f16', bytesPerWeight: 2, block: 1 }

/** A number between two, every order of magnitude as likely. */
const about = (low: number, high: number) =>
  fc.double({ min: Math.log(low), max: Math.log(high), noNaN: true }).map(Math.exp)

const models: fc.Arbitrary<ModelShape> = fc
  .record({
    layers: fc.integer({ min: 2, max: 6 }),
    groups: fc.constantFrom(1, 2, 4),
    width: fc.constantFrom(1, 4, 16),
  })
  .map(({ layers, groups, width }) => ({
    layers,
    hiddenSize: 256 * width,
    intermediateSize: 704 * width,
    heads: 8,
    keyValueHeads: 8 / groups,
    headSize: 32 * width,
    vocabularySize: 8000 * width,
    tiedEmbeddings: false,
    slidingWindow: Number.POSITIVE_INFINITY,
    slidingLayers: 0,
    attention: f16,
    feedForward: f16,
    embedding: f16,
    head: f16,
    activationBytes: 4,
    cacheBytes: 4,
  }))

const groups: fc.Arbitrary<NodeGroup> = fc
  .record({
    count: fc.integer({ min: 1, max: 3 }),
    devices: fc.constantFrom(1, 2, 3, 4),
    cores: fc.boolean(),
    memory: about(0.2e9, 20e9),
    bandwidth: about(1e10, 2e12),
    flops: about(1e11, 1e15),
    latency: about(1e-6, 1e-4),
    link: about(1e9, 3e11),
    operation: about(1e-7, 1e-5),
  })
  .map(({ count, devices, cores, memory, bandwidth, flops, latency, link, operation }) => ({
    name: `${count}x${devices}${cores ? ' cores' : ''} ${bandwidth.toExponential(2)}`,
    ...{ count, devices, cores },
    device: {
      memory,
      bandwidth,
      formats: { f16: { flops, bandwidth } },
      attention: { flops: flops / 2, bandwidth },
      operation,
    },
    ...(cores ? { nodeBandwidth: bandwidth * devices * 0.7 } : {}),
    link: { latency, bandwidth: link },
  }))

const clusters: fc.Arbitrary<ClusterSpec> = fc
  .record({
    nodes: fc.array(groups, { minLength: 1, maxLength: 2 }),
    latency: about(1e-5, 1e-3),
    bandwidth: about(1e8, 5e10),
    step: about(1e-5, 1e-3),
  })
  .map(({ nodes, latency, bandwidth, step }) => ({ nodes, link: { latency, bandwidth }, dispatch: 0, step }))
  .filter((cluster) => countDevices(cluster) <= 10)

const workloads: fc.Arbitrary<Workload> = fc.record({
  promptTokens: fc.constantFrom(64, 1000, 16_000),
  outputTokens: fc.constantFrom(1, 100, 1000),
  concurrency: fc.integer({ min: 1, max: 12 }),
  chunkTokens: fc.constantFrom(512, 8192),
  cachedTokens: fc.constant(0),
  objective: fc.constantFrom('latency', 'throughput'),
})

/** The best of every plan, with every division of the layers, on the groups of nodes in every order. */
function exhaustive(cluster: ClusterSpec, model: ModelShape, workload: Workload): Prediction | undefined {
  const devices = countDevices(cluster)
  const reversed = { ...cluster, nodes: [...cluster.nodes].reverse() }
  let best: Prediction | undefined
  for (const ordered of cluster.nodes.length > 1 ? [cluster, reversed] : [cluster]) {
    const simulator = new Simulator(ordered, model, workload)
    for (let pipeline = 1; pipeline <= Math.min(devices, model.layers); pipeline++) {
      const divisions = compositions(model.layers, pipeline)
      for (let tensor = 1; tensor * pipeline <= devices && tensor <= model.heads; tensor++) {
        for (let sequence = 1; sequence * tensor * pipeline <= devices; sequence++) {
          for (let replicas = 1; replicas * sequence * tensor * pipeline <= devices; replicas++) {
            for (const layers of divisions) {
              const outcome = simulator.simulate({ plan: { pipeline, tensor, sequence }, replicas, layers })
              if (isInfeasible(outcome) || outcome.stages.some(({ memory, limit }) => isOver(memory, limit))) continue
              if (!best || score(outcome, workload) < score(best, workload)) best = outcome
            }
          }
        }
      }
    }
  }
  return best
}

function isOver(memory: { weights: number; cache: number; working: number }, limit: number): boolean {
  return memory.weights + memory.cache + memory.working > limit
}

function compositions(total: number, parts: number): number[][] {
  if (parts === 1) return [[total]]
  return Array.from({ length: total - parts + 1 }, (_, i) => i + 1).flatMap((first) =>
    compositions(total - first, parts - 1).map((rest) => [first, ...rest]),
  )
}

function brief({ plan, replicas, stages }: Prediction): string {
  return JSON.stringify({ ...plan, replicas, layers: stages.map(({ layers }) => layers), on: stages[0]!.nodes })
}

test('the choice on 200 random clusters is at most 5 % off the best of all plans and divisions of layers', (t) => {
  let fitting = 0
  fc.assert(
    fc.property(clusters, models, workloads, (cluster, model, workload) => {
      const best = exhaustive(cluster, model, workload)
      const { chosen } = searchPlans(cluster, model, workload)
      if (!best) return
      fitting++
      if (!chosen) throw new Error(`no plan was chosen; there is ${brief(best)}`)
      const off = score(chosen, workload) / score(best, workload) - 1
      if (off > 0.05) throw new Error(`${(100 * off).toFixed(1)} % off: ${brief(chosen)}, best ${brief(best)}`)
    }),
    { seed: 7, numRuns: 200 },
  )
  t.true(fitting > 100, `only ${fitting} clusters had any plan that fits`)
})

test('4,096 GPUs are planned for without trying every plan', (t) => {
  const workload: Workload = {
    ...{ promptTokens: 8000, outputTokens: 500, concurrency: 2000, chunkTokens: 8000, cachedTokens: 0 },
    objective: 'throughput',
  }
  const { chosen, fitting, infeasible } = searchPlans(grandTeton(512), llama405B, workload)
  t.true(chosen!.workers <= 4096)
  t.true(chosen!.replicas > 1)
  t.true(fitting.length + infeasible.length < 20_000)
  t.log(`${fitting.length} fit, ${infeasible.length} do not: ${JSON.stringify(chosen!.plan)} x ${chosen!.replicas}`)
})
