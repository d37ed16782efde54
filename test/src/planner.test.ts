import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect } from '@troupe/core'
import { calibrate, readModelShape, Simulator, type StagePrediction, type Workload } from '@troupe/llm'
import test, { type ExecutionContext } from 'ava'
import { type Generated, generate } from './support/generate.js'
import { tales } from './support/models.js'
import { ProcessGuard, root } from './support/processes.js'

const troupe = join(root, 'packages', 'cli', 'bin', 'troupe.js')

/** Eight GPUs a node, of which so many nodes, with so much memory each. */
function gpus(count: number, memoryGB: number): object {
  return {
    nodes: [
      {
        ...{ name: 'gpus', count, devices: 8, memoryGB, bandwidthGBps: 2000 },
        formats: { bf16: { tflops: 400 }, q8_0: { tflops: 400 } },
        link: { latencyUs: 5, bandwidthGBps: 200 },
      },
    ],
    link: { latencyUs: 20, bandwidthGBps: 25 },
  }
}

function folderWith(t: ExecutionContext, files: Record<string, unknown>): string {
  const folder = mkdtempSync(join(tmpdir(), 'troupe-test-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), JSON.stringify(content))
  return folder
}

/** A model of which there is only the config.json, with 70 billion weights. */
const large = {
  ...JSON.parse(readFileSync(join(tales, 'config.json'), 'utf8')),
  ...{ hidden_size: 8192, intermediate_size: 28_672, num_hidden_layers: 80, vocab_size: 128_256 },
  ...{ num_attention_heads: 64, num_key_value_heads: 8, head_dim: 128, tie_word_embeddings: false },
}

test('a model that exists only as config.json is planned for on a cluster that exists only as a file', async (t) => {
  const folder = folderWith(t, { 'config.json': large, 'cluster.json': gpus(256, 80) })
  const guard = new ProcessGuard(t)
  const cluster = join(folder, 'cluster.json')
  const ask = ['--cluster', cluster, '--weights', 'q8_0', '--concurrency', '4000', '--objective', 'throughput']
  const end = await guard.troupe('plan', folder, ...ask, '--json').finished
  t.is(end.status, 0, end.stderr)
  const { chosen, fitting, reason } = JSON.parse(end.stdout)
  t.true(chosen.workers > 8 && chosen.workers <= 2048)
  t.true(fitting.length > 100)
  t.regex(reason, /replicas of .*gives .* tokens\/s/)
  for (const { stages } of fitting)
    for (const { memory, limit } of stages) t.true(memory.weights + memory.cache + memory.working <= limit)
})

test('the report says which plan was chosen and why, what each worker has, and why others do not fit', async (t) => {
  const folder = folderWith(t, { 'config.json': large, 'cluster.json': gpus(1, 30) })
  const guard = new ProcessGuard(t)
  const ask = ['--cluster', join(folder, 'cluster.json'), '--weights', 'q8_0', '--prompt', '2000']
  const { stdout, status } = await guard.troupe('plan', folder, ...ask).finished
  t.is(status, 0)
  t.regex(stdout, /^\* {2}\S/m)
  t.regex(stdout, /^Chosen: .*answers a request in .* s, .* better than the next.*bound by/m)
  t.regex(stdout, /^stage +on +workers +layers +weights GB +cache GB/m)
  t.regex(stdout, /^one worker.* a worker needs 7\d\.\d GB .* and has 30\.0 GB$/m)
  const tight = folderWith(t, { 'config.json': large, 'cluster.json': gpus(1, 2) })
  const none = await guard.troupe('plan', tight, '--cluster', join(tight, 'cluster.json'), '--weights', 'q8_0').finished
  t.is(none.status, 1)
  t.regex(none.stdout, /^No plan fits\./)
})

test('options and files that cannot be planned with are refused in one line', async (t) => {
  const folder = folderWith(t, { 'config.json': large, 'cluster.json': gpus(1, 30), 'bad.json': { nodes: 3 } })
  const guard = new ProcessGuard(t)
  const cluster = ['--cluster', join(folder, 'cluster.json')]
  const refused: [string[], RegExp][] = [
    [['plan'], /expected a model/],
    [['plan', folder, ...cluster], /without weights say what format they are in/],
    [['plan', tales, '--cluster', join(folder, 'bad.json')], /bad\.json: nodes: /],
    [['plan', tales, '--cluster', join(folder, 'none.json')], /cannot read the cluster file/],
    [['plan', tales, ...cluster, '--objective', 'price'], /--objective must be latency or throughput/],
    [['plan', tales, ...cluster, '--mapping', 'tensor'], /--mapping must name tensor, sequence, pipeline once each/],
    [['generate', '--model', tales, '--prompt', 'A', '--plan', 'best'], /--plan must be auto/],
    [
      ['generate', '--model', tales, '--prompt', 'A', '--plan', 'auto', '--layers', '8'],
      /--plan auto chooses the stages; leave --layers out/,
    ],
    [['generate', '--model', tales, '--prompt', 'A', '--plan', 'auto', '--tensor', '2'], /leave them out/],
  ]
  const ends = await Promise.all(refused.map(([args]) => guard.troupe(...args).finished))
  for (const [index, [args, message]] of refused.entries()) {
    t.is(ends[index]!.status, 2, args.join(' '))
    t.regex(ends[index]!.stderr, /^error: [^\n]*\n$/)
    t.regex(ends[index]!.stderr, message)
  }
})

test.serial('--plan auto measures the nodes once, and gives the same text as one worker', async (t) => {
  const home = folderWith(t, {})
  const guard = new ProcessGuard(t)
  const args = ['--prompt', 'Once', '--max-tokens', '20', '--temperature', '0']
  const alone = await generate(guard, tales, { pipeline: 1, tensor: 1, sequence: 1 }, ...args)
  for (let run = 0; run < 2; run++) {
    const automatic = ['generate', '--model', tales, ...args, '--plan', 'auto', '--json']
    const end = await guard.run(process.execPath, [troupe, ...automatic], { HOME: home }).finished
    t.is(end.status, 0, end.stderr)
    t.deepEqual((JSON.parse(end.stdout) as Generated).tokens, alone.tokens)
  }
  t.is(readdirSync(join(home, '.troupe', 'calibration')).length, 1)
})

test.serial('a cluster is measured: its cores, its links and the way to an actor', async (t) => {
  process.env.HOME = folderWith(t, {})
  new ProcessGuard(t)
  await using cluster = await connect()
  const model = readModelShape(tales)
  const measured = await calibrate(cluster, model)
  t.false(measured.isCached)
  const [node] = measured.cluster.nodes
  t.true(node!.cores && node!.devices >= 1)
  for (const rate of [...Object.values(node!.device.formats), node!.device.attention]) {
    t.true(rate.flops > 1e8 && rate.flops < 1e15)
    t.true(rate.bandwidth > 1e7 && rate.bandwidth < 1e14)
  }
  t.true(node!.link.latency > 0 && node!.link.bandwidth > 1e7)
  t.true(measured.cluster.step > 0)
  const again = await calibrate(cluster, model)
  t.true(again.isCached)
  t.is(again.cluster.nodes[0]!.devices, node!.devices)
})

test.serial('--plan auto gives each stage the layers that the planner found room for', async (t) => {
  const home = folderWith(t, {})
  process.env.HOME = home
  const guard = new ProcessGuard(t)
  const model = readModelShape(tales)
  const { path, cluster: measured } = await connect().then(async (cluster) => {
    const calibration = await calibrate(cluster, model)
    await cluster.shutdown()
    return calibration
  })
  // A host that holds six of the eight layers, then one that holds them all and is slower.
  const plan = { pipeline: 2, tensor: 1, sequence: 1 }
  const workload: Workload = {
    ...{ promptTokens: 1, outputTokens: 20, concurrency: 1, cachedTokens: 0 },
    objective: 'latency',
  }
  const spacious = { ...measured.nodes[0]!, cores: false, devices: 2 }
  const outcome = new Simulator({ ...measured, nodes: [spacious] }, model, workload).simulate({
    ...{ plan, replicas: 1, layers: [6, 2] },
  })
  if ('reason' in outcome) return t.fail(outcome.reason)
  const { weights, cache, working } = outcome.stages[0]!.memory
  const described = JSON.parse(readFileSync(path, 'utf8'))
  const [node] = described.nodes
  const first = { ...node, cores: false, devices: 1, name: 'first', memoryGB: (weights + cache + working) / 1e9 + 1e-4 }
  const slower = { bandwidthGBps: 0.01, formats: { bf16: { tflops: 1e-5 } } }
  const second = { ...first, ...slower, name: 'second', memoryGB: 1 }
  writeFileSync(path, JSON.stringify({ ...described, nodes: [first, second] }))

  const ask = ['--tokens', '1', '--max-tokens', '20', '--plan', 'auto', '--json']
  const end = await guard.run(process.execPath, [troupe, 'generate', '--model', tales, ...ask], { HOME: home }).finished
  t.is(end.status, 0, end.stderr)
  const { workers } = JSON.parse(end.stdout) as Generated
  t.deepEqual(
    workers.map(({ layers }) => layers.end),
    [6, 8],
  )
})

test('the weights that a plan is predicted to have on each worker are those that workers report', async (t) => {
  const guard = new ProcessGuard(t)
  const model = readModelShape(tales)
  const device = {
    ...{ memory: 1e12, bandwidth: 1e10, attention: { flops: 1e10, bandwidth: 1e10 }, operation: 0 },
    formats: { bf16: { flops: 1e10, bandwidth: 1e10 } },
  }
  const link = { latency: 0, bandwidth: 1e10 }
  const cluster = { nodes: [{ name: '', count: 1, devices: 8, cores: true, device, link }], link, dispatch: 0, step: 0 }
  const workload: Workload = {
    ...{ promptTokens: 1, outputTokens: 1, concurrency: 1, chunkTokens: 1, cachedTokens: 0 },
    objective: 'latency',
  }
  const simulator = new Simulator(cluster, model, workload)
  for (const [pipeline, tensor, sequence] of [
    [1, 1, 1],
    [1, 3, 1],
    [2, 2, 1],
  ] as const) {
    const plan = { pipeline, tensor, sequence }
    const { workers } = await generate(guard, tales, plan, '--tokens', '5', '--max-tokens', '1')
    const stageOf = (layers: number) => Array.from({ length: pipeline }, () => layers)
    const outcome = simulator.simulate({ plan, replicas: 1, layers: stageOf(model.layers / pipeline) })
    if ('reason' in outcome) return t.fail(outcome.reason)
    const largest = (stage: StagePrediction) => stage.memory.weights
    const predicted = Math.max(...outcome.stages.map(largest))
    const actual = Math.max(...workers.map(({ weightBytes }) => weightBytes))
    t.true(Math.abs(predicted / actual - 1) < 0.02, `${predicted} predicted, ${actual} loaded`)
  }
})
