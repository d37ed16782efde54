import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect } from '@troupe/core'
import { Engine, type EngineWorker } from '@troupe/llm'
import test, { type ExecutionContext } from 'ava'
import { type Plan, planName } from './support/generate.js'
import { ProcessGuard, root } from './support/processes.js'
import { writeHollowModel } from './support/random-model.js'

const BLOCK_TOKENS = 16
const CONTEXT = 1000
const troupe = join(root, 'packages', 'cli', 'bin', 'troupe.js')

const plans: Plan[] = [
  { pipeline: 1, tensor: 1, sequence: 1 },
  { pipeline: 2, tensor: 1, sequence: 1 },
  { pipeline: 1, tensor: 2, sequence: 1 },
  { pipeline: 2, tensor: 2, sequence: 1 },
  { pipeline: 1, tensor: 2, sequence: 3 },
]

function hollowModel(t: ExecutionContext): { model: string; bytes: number } {
  const model = mkdtempSync(join(tmpdir(), 'troupe-test-'))
  t.teardown(() => rmSync(model, { recursive: true }))
  return { model, bytes: writeHollowModel(model, CONTEXT) }
}

/** Bytes that a process of Node.js counts as its data before it has any: newer versions have the room for their code in them. */
function ownData(): number {
  const print = 'process.stdout.write(fs.readFileSync("/proc/self/status"))'
  const status = execFileSync(process.execPath, ['-e', print], { encoding: 'utf8' })
  return Number(/VmData:\s+(\d+) kB/.exec(status)![1]) * 1024
}

/** Bytes that a process has had of its address space at most, and has now. */
function addressSpace({ pid }: EngineWorker): { peak: number; size: number } {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  const bytes = (name: string) => Number(new RegExp(`${name}:\\s+(\\d+) kB`).exec(status)![1]) * 1024
  return { peak: bytes('VmPeak'), size: bytes('VmSize') }
}

test.serial('a worker has its share of weights and cache, and little more while it loads', async (t) => {
  new ProcessGuard(t)
  const { model } = hollowModel(t)
  await using cluster = await connect()
  let whole: EngineWorker | undefined
  for (const plan of plans) {
    const { pipeline, tensor, sequence } = plan
    const engine = await Engine.start(cluster, { model, plan, threads: 1, maxSequences: 1 })
    whole ??= engine.workers[0]!
    const { weightBytes, kvBytes } = whole
    const norms = (2 * 8 + 1) * 1024 * 4
    const embedding = (512 * 1024 * 4) / tensor
    const replicated = norms + (pipeline > 1 ? embedding : 0)
    const block = kvBytes / Math.ceil(CONTEXT / BLOCK_TOKENS) / (pipeline * tensor)
    for (const worker of engine.workers) {
      const name = `${planName(plan)}, ${worker.name}`
      t.true(worker.weightBytes <= (1.05 * weightBytes) / (pipeline * tensor) + replicated, `${name}: weights`)
      t.true(
        worker.kvBytes <= kvBytes / (pipeline * tensor * sequence) + block,
        `${name}: ${worker.kvBytes} of ${kvBytes}`,
      )
      const { peak, size } = addressSpace(worker)
      t.true(peak - size <= 0.15 * worker.weightBytes, `${name}: ${peak - size} bytes more while loading`)
    }
    await engine.stop()
  }
})

test.serial('a model larger than the memory that each worker may have runs on two', async (t) => {
  const guard = new ProcessGuard(t)
  const { model, bytes } = hollowModel(t)
  const limit = Math.floor(0.78 * bytes) + ownData()
  const generate = (plan: string[]) => {
    const ask = ['generate', '--model', model, '--tokens', '1', '--max-tokens', '2', '--json', ...plan]
    return guard.run('sh', ['-c', `ulimit -d ${limit >> 10} && exec "$@"`, 'sh', process.execPath, troupe, ...ask])
      .finished
  }
  const alone = await generate([])
  t.not(alone.status, 0)
  t.regex(alone.stderr, /^error: [^\n]*memory[^\n]*\n$/i)
  for (const plan of [
    ['--pipeline', '2'],
    ['--tensor', '2'],
  ]) {
    const { status, stdout, stderr } = await generate(plan)
    t.is(status, 0, stderr)
    t.is(JSON.parse(stdout).tokens.length, 2)
  }
})
