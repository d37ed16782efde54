import { setTimeout as delay } from 'node:timers/promises'
import { BenchmarkError, type Figure } from '../benchmark.js'
import type { Answer, Client } from './client.js'
import type { Prompts } from './prompts.js'
import type { MeasuredServer } from './server.js'

/** How many requests there are, and how long they are. */
export interface Sizes {
  clients: number
  /** Requests that each client sends, one after the other. */
  rounds: number
  /** Tokens of each prompt and of each answer. */
  prompt: number
  output: number
  /** Tokens of a prompt that takes many steps, and of the beginning that two prompts share. */
  long: number
  shared: number
}

/** One client after the other, and all of them at once. */
export async function* throughput(client: Client, prompts: Prompts, sizes: Sizes): AsyncGenerator<Figure> {
  const draw = (count: number) => Array.from({ length: count }, () => prompts.next(sizes.prompt))
  const one = await clientsOf(client, draw(Math.max(2, sizes.rounds)), 1, sizes.output)
  const many = await clientsOf(client, draw(sizes.clients * sizes.rounds), sizes.clients, sizes.output)
  const name = `clients${sizes.clients}`
  yield { name: 'clients1', unit: 'tok/s', value: one.rate }
  yield { name, unit: 'tok/s', value: many.rate }
  yield { name: `${name}.ratio`, unit: 'x', value: many.rate / one.rate }
  yield { name: 'clients1.first', unit: 'ms', value: median(one.answers.map(({ first }) => first)) }
  yield { name: `${name}.first`, unit: 'ms', value: median(many.answers.map(({ first }) => first)) }
}

/** Prompts divided among clients, each of which sends its next one when it has its answer. */
export async function clientsOf(
  client: Client,
  prompts: readonly (readonly number[])[],
  clients: number,
  output: number,
): Promise<{ rate: number; seconds: number; answers: Answer[] }> {
  const answers: Answer[] = []
  let next = 0
  const began = performance.now()
  await Promise.all(
    Array.from({ length: clients }, async () => {
      while (next < prompts.length) {
        const place = next++
        answers[place] = await client.answer(prompts[place]!, output)
      }
    }),
  )
  const seconds = (performance.now() - began) / 1000
  return { rate: answers.reduce((sum, { tokens }) => sum + tokens, 0) / seconds, seconds, answers }
}

/** How long a short prompt waits for its first token that comes while a long one is computed. */
export async function* arrival(
  server: MeasuredServer,
  client: Client,
  prompts: Prompts,
  { long }: Sizes,
): AsyncGenerator<Figure> {
  const steps = () => server.metric('troupe:engine_steps_total')
  const before = await steps()
  let isOver = false
  const longAnswer = client.answer(prompts.next(long), 1).finally(() => {
    isOver = true
  })
  longAnswer.catch(() => {})
  for (let looks = 0; (await steps()) <= before; looks++) {
    if (looks === 1000) throw new BenchmarkError('the long prompt was not begun within ten seconds')
    await delay(10)
  }
  const first = await steps()
  if (isOver) throw new BenchmarkError(`${long} tokens were computed before a short prompt came; raise --long-prompt`)
  const { first: milliseconds } = await client.answer(prompts.next(32), 1)
  const last = await steps()
  const { first: whole } = await longAnswer
  yield { name: `during${long}.first.steps`, unit: 'steps', value: last - first }
  yield { name: `during${long}.first`, unit: 'ms', value: milliseconds }
  yield { name: `prompt${long}.first`, unit: 'ms', value: whole }
}

/** What is saved by a beginning that a prompt shares with one before it. */
export async function* sharedPrefix(client: Client, prompts: Prompts, { shared }: Sizes): AsyncGenerator<Figure> {
  const beginning = prompts.next(shared)
  const first = await client.answer([...beginning, ...prompts.next(16)], 1)
  const second = await client.answer([...beginning, ...prompts.next(16)], 1)
  yield { name: `shared${shared}.first`, unit: 'ms', value: first.first }
  yield { name: `shared${shared}.second`, unit: 'ms', value: second.first }
  yield { name: `shared${shared}.share`, unit: '%', value: (100 * second.first) / first.first }
}

/** The middle one of some numbers. */
export function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1]!
}
