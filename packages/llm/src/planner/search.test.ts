import test from 'ava'
import fc from 'fast-check'
import { clusters, models, workloads } from '../testing/clusters.js'
import { grandTeton, llama405B } from '../testing/context-parallelism-paper.js'
import { type ClusterSpec, countDevices } from './cluster.js'
import type { ModelShape } from './model-shape.js'
import { score, searchPlans } from './search.js'
import { isInfeasible, type Prediction, Simulator } from './simulate.js'
import type { Workload } from './workload.js'

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
