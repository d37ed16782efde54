import { setTimeout as delay } from 'node:timers/promises'
import { BenchmarkError, type Figure } from '../benchmark.js'
import type { Client } from './client.js'
import { clientsOf, median, type Sizes } from './loads.js'
import type { Prompts } from './prompts.js'
import type { MeasuredServer } from './server.js'

/** How many times what a server can answer it is sent. */
const EXCESS = 10
/** Seconds that latency may take to be what it was. */
const MOST_RECOVERY = 60

/**
 * Sends ten times as many requests a second as the server can answer: how many it takes, whether what it answers is what it
 * answered before, what memory that takes, and how long one client then waits until it is served as before.
 */
export async function* overload(
  server: MeasuredServer,
  client: Client,
  prompts: Prompts,
  { clients, prompt, output }: Sizes,
  seconds: number,
): AsyncGenerator<Figure> {
  const asked = Array.from({ length: 2 * clients }, () => prompts.next(prompt))
  const known = await clientsOf(client, asked, clients, output)
  // The prompts are known to its cache then, as they are under the load.
  const sustained = await clientsOf(client, asked, clients, output)
  const alone = await clientsOf(client, asked.slice(0, 3), 1, output)
  const usual = median(alone.answers.map(({ total }) => total))
  const rate = (EXCESS * asked.length) / sustained.seconds

  const memory = await server.residentBytes()
  const peak = { half: memory, whole: memory }
  const counts = { accepted: 0, refused: 0, wrong: 0 }
  const latencies: number[] = []
  const underWay = new Set<Promise<void>>()
  const began = performance.now()
  const elapsed = () => (performance.now() - began) / 1000
  const watching = new AbortController()
  const watch = watchMemory(server, watching.signal, (bytes) => {
    if (elapsed() < seconds / 2) peak.half = Math.max(peak.half, bytes)
    peak.whole = Math.max(peak.whole, bytes)
  })
  for (let sent = 0; elapsed() < seconds; ) {
    for (; sent < elapsed() * rate; sent++) {
      const place = sent % asked.length
      const answer = client.ask(asked[place]!, output).then((got) => {
        if (got === undefined) {
          counts.refused++
          return
        }
        counts.accepted++
        latencies.push(got.total)
        if (got.text !== known.answers[place]!.text) counts.wrong++
      })
      const done = answer.finally(() => underWay.delete(done))
      done.catch(() => {})
      underWay.add(done)
    }
    await delay(5)
  }
  const ended = performance.now()
  const recovered = recovery(client, asked[0]!, output, usual).then(() => (performance.now() - ended) / 1000)
  await Promise.all([...underWay])
  const recoverySeconds = await recovered
  watching.abort()
  await watch
  const mebibytes = (bytes: number) => bytes / 2 ** 20
  yield { name: 'overload.rate', unit: 'requests/s', value: rate }
  yield { name: 'overload.accepted', unit: 'requests', value: counts.accepted }
  yield { name: 'overload.refused', unit: 'requests', value: counts.refused }
  yield { name: 'overload.wrong', unit: 'requests', value: counts.wrong }
  yield { name: 'overload.latency', unit: 'ms', value: median(latencies) }
  yield { name: 'overload.memory.before', unit: 'MiB', value: mebibytes(memory) }
  yield { name: 'overload.memory.half', unit: 'MiB', value: mebibytes(peak.half) }
  yield { name: 'overload.memory.peak', unit: 'MiB', value: mebibytes(peak.whole) }
  yield { name: 'overload.memory.after', unit: 'MiB', value: mebibytes(await server.residentBytes()) }
  yield { name: 'overload.recovery', unit: 's', value: recoverySeconds }
}

async function watchMemory(server: MeasuredServer, signal: AbortSignal, seen: (bytes: number) => void): Promise<void> {
  while (!signal.aborted) {
    seen(await server.residentBytes())
    await delay(1000, undefined, { signal }).catch(() => {})
  }
}

/** Resolves once one client is served in at most half again the time that it took before. */
async function recovery(client: Client, prompt: readonly number[], output: number, usual: number): Promise<void> {
  const began = performance.now()
  while (performance.now() - began < MOST_RECOVERY * 1000) {
    const answer = await client.ask(prompt, output)
    if (answer !== undefined && answer.total < 1.5 * usual) return
    if (answer === undefined) await delay(100)
  }
  throw new BenchmarkError(`the server did not recover within ${MOST_RECOVERY} s of the load's end`)
}
