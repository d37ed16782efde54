import { connect, graph, type Handle, type ObjectRef } from '@troupe/core'
import type { Benchmark, Figure } from './benchmark.js'
import { type Echo, RemoteEcho } from './echo.js'
import { countOf } from './numbers.js'

/** Executions before the clock starts. */
const WARM_UP = 20

/** Round trips of a small value through compiled graphs, each awaited before the next begins. */
export const graphs: Benchmark = {
  name: 'graph',
  summary: 'round trips through graphs of one and two actors',
  options: { count: { type: 'string', default: '3000' } },
  async *run(values) {
    const count = countOf(values, 'count')
    await using _cluster = await connect()
    const [a, b] = await Promise.all([RemoteEcho.spawn(), RemoteEcho.spawn()])
    yield* measureHops(a, b, count)
  },
}

/** The time of a round trip through one actor, and through both. */
export async function* measureHops(a: Handle<Echo>, b: Handle<Echo>, count: number): AsyncGenerator<Figure> {
  const builds = [
    (input: ObjectRef<number>) => a.echo(input),
    (input: ObjectRef<number>) => b.echo(a.echo(input)) as ObjectRef<number>,
  ]
  for (const [index, build] of builds.entries()) {
    await using compiled = await graph(build)
    for (let warm = 0; warm < WARM_UP; warm++) await compiled.execute(1)
    const start = performance.now()
    for (let round = 0; round < count; round++) await compiled.execute(1)
    yield { name: `graph.hop${index + 1}`, unit: 'us', value: ((performance.now() - start) * 1e3) / count }
  }
}
