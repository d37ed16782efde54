import { connect, killActor, put } from '@troupe/core'
import type { Benchmark, Figure } from '../benchmark.js'
import { type EchoHandle, noop, RemoteEcho } from './echo.js'

/** Calls before each measurement. */
const WARM_UP = 20

/** Calls, tasks and objects of actors on this host; the names are those of the same measurements of Ray. */
export const actors: Benchmark = {
  name: 'actors',
  summary: 'calls, tasks and objects of actors on this host',
  options: {},
  async *run() {
    const cluster = await connect()
    try {
      yield* measure()
    } finally {
      await cluster.shutdown()
    }
  },
}

async function* measure(): AsyncIterable<Figure> {
  const begun = performance.now()
  const echoes = await Promise.all(Array.from({ length: 8 }, () => RemoteEcho.spawn()))
  await Promise.all(echoes.map((echo) => echo.echo(1)))
  yield { name: 'actor.start8', unit: 's', value: (performance.now() - begun) / 1000 }
  const [a, , ...others] = echoes as [EchoHandle, EchoHandle, ...EchoHandle[]]
  await Promise.all(others.map(killActor))

  yield { name: 'call.sync', unit: 'calls/s', value: await rate(() => a.echo(1), 1000) }
  const thousand = () => Promise.all(Array.from({ length: 1000 }, () => a.echo(1)))
  yield { name: 'call.async', unit: 'calls/s', value: 1000 * (await rate(thousand, 5)) }
  const mebibyte = new Uint8Array(2 ** 20)
  yield { name: 'call.sync.1MiB', unit: 'calls/s', value: await rate(() => a.nbytes(mebibyte), 200) }

  const small = new Uint8Array(1024)
  yield { name: 'put.1KiB', unit: 'puts/s', value: await rate(() => put(small), 1000) }
  const ref = put(small)
  yield { name: 'get.1KiB', unit: 'gets/s', value: await rate(() => ref, 3000) }
  const big = new Uint8Array(2 ** 28)
  yield { name: 'put.256MiB', unit: 'GB/s', value: (big.length / 1e9) * (await rate(() => put(big), 5)) }
  yield { name: 'task.sync', unit: 'tasks/s', value: await rate(() => noop(), 300) }
}

/** How often a second something is done, one after the other. */
async function rate(call: () => unknown, count: number): Promise<number> {
  for (let i = 0; i < WARM_UP; i++) await call()
  const begun = performance.now()
  for (let i = 0; i < count; i++) await call()
  return (count * 1000) / (performance.now() - begun)
}
