import { type Cluster, connect } from '@troupe/core'
import { calibrate, type Prediction, readModelShape, Simulator, type Workload } from '@troupe/llm'
import { type Benchmark, BenchmarkError, type Figure } from './benchmark.js'
import { countOf } from './numbers.js'
import { speedsOf, startUncached } from './parallel/speeds.js'

const alone = { pipeline: 1, tensor: 1, sequence: 1 }
const plans = {
  alone,
  pipeline2: { ...alone, pipeline: 2 },
  tensor2: { ...alone, tensor: 2 },
  sequence2: { ...alone, sequence: 2 },
}

/** What the planner predicts of plans of one and two workers on this host, which is measured first, in proportion to what they take. */
export const planner: Benchmark = {
  name: 'planner',
  summary: `predicted by measured time of plans of --model PATH [--only ${Object.keys(plans).join()}]`,
  options: {
    model: { type: 'string' },
    only: { type: 'string', default: Object.keys(plans).join() },
    runs: { type: 'string', default: '3' },
    prefill: { type: 'string', default: '512' },
    decode: { type: 'string', default: '48' },
  },
  async *run(values) {
    const { model } = values
    if (typeof model !== 'string') throw new BenchmarkError('expected --model PATH')
    const [prefill, decode, runs] = [countOf(values, 'prefill'), countOf(values, 'decode', 2), countOf(values, 'runs')]
    const chosen = String(values.only).split(',').map(planCalled)
    await using cluster = await connect()
    const shape = readModelShape(model)
    const { cluster: measured } = await calibrate(cluster, shape, true)
    const workload: Workload = {
      ...{ promptTokens: prefill, outputTokens: decode, concurrency: 1, cachedTokens: 0 },
      objective: 'latency',
    }
    const sizes = { contextLength: prefill + decode + 1, maxSequences: 1 }
    for (const [name, plan] of chosen) {
      const found = new Simulator(measured, shape, workload, { sizes }).simulate({ plan, replicas: 1 })
      if ('reason' in found) throw new BenchmarkError(found.reason)
      yield* await compare(cluster, name, { model, prefill, decode, runs }, found)
    }
  },
}

function planCalled(name: string) {
  if (Object.hasOwn(plans, name)) return [name, plans[name as keyof typeof plans]] as const
  throw new BenchmarkError(`--only takes ${Object.keys(plans).join()}, found ${name}`)
}

async function compare(
  cluster: Cluster,
  name: string,
  { model, prefill, decode, runs }: { model: string; prefill: number; decode: number; runs: number },
  { deployment, timeToFirstToken, timePerToken }: Prediction,
): Promise<Figure[]> {
  const engine = await startUncached(cluster, { model, deployment })
  await speedsOf(engine, prefill, 4)
  const speeds: { prefill: number; decode: number }[] = []
  for (let run = 0; run < runs; run++) speeds.push(await speedsOf(engine, prefill, decode))
  await engine.stop()
  const median = (numbers: number[]) => numbers.sort((a, b) => a - b)[numbers.length >> 1]!
  const first = prefill / median(speeds.map((speed) => speed.prefill))
  const token = 1 / median(speeds.map((speed) => speed.decode))
  return [
    { name: `${name}.prefill`, unit: 'x', value: timeToFirstToken / first },
    { name: `${name}.prefill.measured`, unit: 'ms', value: 1000 * first },
    { name: `${name}.token`, unit: 'x', value: timePerToken / token },
    { name: `${name}.token.measured`, unit: 'ms', value: 1000 * token },
  ]
}
