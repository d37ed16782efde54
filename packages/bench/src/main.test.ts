import { execFile } from 'node:child_process'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import test from 'ava'
import type { Figure } from './benchmark.js'

const bench = fileURLToPath(new URL('../bin/bench.js', import.meta.url))
const run = (...args: string[]) => promisify(execFile)(process.execPath, [bench, ...args])

for (const backend of ['shared', 'tcp']) {
  test(`the collectives of ${backend} ranks are printed by the names of gloo's figures`, async (t) => {
    const { stdout } = await run('collectives', '--backend', backend, '--world', '3', '--sizes', '4096,65536', '--json')
    const figures = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Figure)
    const times = figures.filter(({ unit }) => unit === 'us')
    t.deepEqual(
      times.map(({ name }) => name),
      ['allreduce.4096', 'allgather.4096', 'allreduce.65536', 'allgather.65536'].flatMap((name) => [
        name,
        `${name}.first`,
      ]),
    )
    t.true(figures.every(({ faults }) => faults! >= 0))
    t.true(figures.every(({ value }) => value > 0))
    t.is(figures.length - times.length, backend === 'shared' ? 2 : 0)
  })
}

test('the memory benchmark tells what a page costs that is touched for the first time, populated, and touched again', async (t) => {
  const { stdout } = await run('memory', '--megabytes', '16', '--size', '16', '--json')
  const figures = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Figure)
  const pages = ['fault', 'populated', 'mappedFault', 'mappedPopulated', 'touched'].map((name) => `page.${name}`)
  t.deepEqual(
    figures.map(({ name }) => name),
    ['read', 'add.16777216', ...pages],
  )
  t.true(figures.every(({ value }) => value > 0))
  const costs = new Map(figures.map(({ name, value }) => [name, value]))
  t.true(costs.get('page.touched')! < costs.get('page.fault')!)
})

test('what cannot be measured is refused in one line', async (t) => {
  const refusals = {
    'collectives --backend carrier-pigeon': /--backend must be shared or tcp, found carrier-pigeon/,
    'collectives --world 0': /--world takes a whole number above 0, found 0/,
    'collectives --sizes 100': /--sizes takes multiples of 4096 bytes, found 100/,
    'parallel --model models/tales --only octets':
      /--only takes tensor2,pipeline2,sequence2.prefill,sequence2.decode, found octets/,
    'collectives --sides 3': /Unknown option '--sides'/,
    collective: /expected a benchmark, found collective; there are:/,
  }
  for (const [args, expected] of Object.entries(refusals)) {
    const error = await t.throwsAsync(() => run(...args.split(' ')), { message: expected })
    t.is((error as Error & { code?: number }).code, 2)
  }
})

test('the figures of actors have the names of the same measurements of Ray, and one can be profiled', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'troupe-test-'))
  t.teardown(() => rm(folder, { recursive: true }))
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [bench, 'actors', '--markdown', '--profile', 'call.sync'],
    {
      cwd: folder,
    },
  )
  const [heading, , ...rows] = stdout.trim().split('\n')
  t.is(heading, '| figure | value | unit | page faults |')
  const names = rows.map((row) => row.split(' | ')[0]!.slice(2))
  const calls = ['actor.start8', 'call.sync', 'call.async', 'call.sync.1MiB', 'put.1KiB', 'get.1KiB', 'put.256MiB']
  t.deepEqual(names, [...calls, 'copy.256MiB', 'task.sync', 'graph.hop1', 'graph.hop2'])
  t.deepEqual(await readdir(folder), ['call.sync.cpuprofile'])
})

test('a server is measured from outside: its output, its times to the first token, and what it does under too many requests', async (t) => {
  const model = fileURLToPath(new URL('../../../models/tales', import.meta.url))
  const sizes = ['--clients', '3', '--rounds', '1', '--prompt', '40', '--output', '8', '--shared', '200']
  const overload = ['--long-prompt', '2000', '--overload', '1', '--max-queue', '4', '--serve=--threads 1']
  const { stdout } = await run('serve', '--model', model, ...sizes, ...overload, '--json')
  const figures = new Map(
    stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Figure)
      .map(({ name, value }) => [name, value]),
  )
  t.deepEqual(
    [...figures.keys()],
    [
      ...['clients1', 'clients3', 'clients3.ratio', 'clients1.first', 'clients3.first'],
      ...['shared200.first', 'shared200.second', 'shared200.share'],
      ...['during2000.first.steps', 'during2000.first', 'prompt2000.first'],
      ...['rate', 'accepted', 'refused', 'wrong', 'latency'].map((name) => `overload.${name}`),
      ...['before', 'half', 'peak', 'after'].map((name) => `overload.memory.${name}`),
      'overload.recovery',
    ],
  )
  t.true([...figures.values()].every((value) => value >= 0 && Number.isFinite(value)))
  t.is(figures.get('overload.wrong'), 0)
  t.true(figures.get('overload.accepted')! > 0 && figures.get('overload.refused')! > 0)
  await t.throwsAsync(() => run('serve', '--model', model), {
    message: /has a context of 2048 tokens, 4098 are needed/,
  })
})

test('plans of two workers are printed as ratios to one, and as speeds', async (t) => {
  const model = fileURLToPath(new URL('../../../models/tales', import.meta.url))
  const sizes = ['--runs', '1', '--decode', '4', '--prefill', '32', '--long-prefill', '64']
  const { stdout } = await run('parallel', '--model', model, ...sizes, '--json')
  const figures = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Figure)
  const ratios = figures.filter(({ unit }) => unit === 'x').map(({ name }) => name)
  const tensor = ['tensor2.decode', 'tensor2.decode.threads2', 'tensor2.prefill', 'tensor2.prefill.threads2']
  t.deepEqual(ratios, [...tensor, 'pipeline2.throughput', 'pipeline2.decode', 'sequence2.prefill', 'sequence2.decode'])
  t.true(figures.every(({ value }) => value > 0 && Number.isFinite(value)))
})
