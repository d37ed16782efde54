import { writeFile } from 'node:fs/promises'
import { type Profiler, Session } from 'node:inspector/promises'
import { connect, killActor, put } from '@troupe/core'
import { type Benchmark, BenchmarkError, type Figure } from './benchmark.js'
import { type EchoHandle, RemoteEcho, remoteNoop } from './echo.js'
import { measureHops } from './graph.js'

/** Calls before each measurement. */
const WARM_UP = 20
/** Executions of each graph. */
const EXECUTIONS = 3000
const MEBIBYTE = 2 ** 20

/** Calls, tasks, objects and graphs of actors on this host; the names are those of the same measurements of Ray. */
export const actors: Benchmark = {
  name: 'actors',
  summary: 'calls, tasks, objects and graphs of actors on this host: [--profile FIGURE]',
  options: { profile: { type: 'string' } },
  async *run({ profile }) {
    await using _cluster = await connect()
    const profiler = new FigureProfiler(typeof profile === 'string' ? profile : undefined)
    for await (const figure of measure((name, run) => profiler.around(name, run))) yield figure
    profiler.check()
  },
}

/** Runs a measurement, perhaps with its profile taken. */
type Around = (name: string, run: () => Promise<number>) => Promise<number>

async function* measure(around: Around): AsyncIterable<Figure> {
  let echoes: EchoHandle[] = []
  const start = async () => {
    const begun = performance.now()
    echoes = await Promise.all(Array.from({ length: 8 }, () => RemoteEcho.spawn()))
    await Promise.all(echoes.map((echo) => echo.echo(1)))
    return (performance.now() - begun) / 1000
  }
  yield { name: 'actor.start8', unit: 's', value: await around('actor.start8', start) }
  const [a, b, ...others] = echoes as [EchoHandle, EchoHandle, ...EchoHandle[]]
  await Promise.all(others.map(killActor))

  const thousand = () => Promise.all(Array.from({ length: 1000 }, () => a.echo(1)))
  const [mebibyte, small, big] = [1, 1 / 1024, 256].map((size) => new Uint8Array(size * MEBIBYTE)) as [
    Uint8Array,
    Uint8Array,
    Uint8Array,
  ]
  const ref = put(small)
  const copy = new Uint8Array(big.length)
  const gigabytes = big.length / 1e9
  // Where Python frees a ref as soon as nothing has it, a ref is released here.
  const figures: [name: string, unit: string, scale: number, count: number, call: () => unknown][] = [
    ['call.sync', 'calls/s', 1, 1000, () => a.echo(1)],
    ['call.async', 'calls/s', 1000, 5, thousand],
    ['call.sync.1MiB', 'calls/s', 1, 200, () => a.nbytes(mebibyte)],
    ['put.1KiB', 'puts/s', 1, 1000, () => put(small).release()],
    ['get.1KiB', 'gets/s', 1, 300_000, () => ref],
    ['put.256MiB', 'GB/s', gigabytes, 5, () => put(big).release()],
    ['copy.256MiB', 'GB/s', gigabytes, 5, () => copy.set(big)],
    ['task.sync', 'tasks/s', 1, 300, () => remoteNoop()],
  ]
  for (const [name, unit, scale, count, call] of figures) {
    yield { name, unit, value: scale * (await around(name, () => rate(call, count))) }
  }
  yield* measureHops(a, b, EXECUTIONS)
}

/** The number of calls that are made in a second, one after the other. */
async function rate(call: () => unknown, count: number): Promise<number> {
  for (let i = 0; i < WARM_UP; i++) await call()
  const begun = performance.now()
  for (let i = 0; i < count; i++) await call()
  return (count * 1000) / (performance.now() - begun)
}

/** Writes a CPU profile of this process during one figure, which Chrome's and VS Code's tools open. */
class FigureProfiler {
  #isDone = false

  constructor(private readonly figure: string | undefined) {}

  async around<T>(name: string, run: () => Promise<T>): Promise<T> {
    if (name !== this.figure) return run()
    const session = new Session()
    session.connect()
    await session.post('Profiler.enable')
    await session.post('Profiler.start')
    try {
      return await run()
    } finally {
      const { profile }: Profiler.StopReturnType = await session.post('Profiler.stop')
      session.disconnect()
      await writeFile(`${name}.cpuprofile`, JSON.stringify(profile))
      process.stderr.write(`the profile of ${name} is in ${name}.cpuprofile\n`)
      this.#isDone = true
    }
  }

  /** @throws BenchmarkError if there is no such figure */
  check(): void {
    if (this.figure !== undefined && !this.#isDone) {
      throw new BenchmarkError(`--profile takes the name of a figure such as call.sync, found ${this.figure}`)
    }
  }
}
