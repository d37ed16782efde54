import test from 'ava'
import fc from 'fast-check'
import { SimulatedWorker, tokenAfter } from '../testing/simulated-worker.js'
import { BlockPool } from './cache.js'
import { type EndReason, Request, type Task } from './request.js'
import { LogitsError, NOT_A_NUMBER } from './sampler.js'
import { type ScheduledStep, Scheduler } from './scheduler.js'

const END = 49

type Kind = 'generate' | 'score' | 'embed last' | 'embed all'

/** A request that notes what becomes of it. */
function requestOf(prompt: number | readonly number[], maxTokens: number, kind: Kind = 'generate') {
  const seen = {
    tokens: [] as number[],
    scores: [] as number[],
    states: [] as number[],
    reason: undefined as EndReason | undefined,
    error: undefined as Error | undefined,
  }
  const sampling = { temperature: 0, topK: 0, topP: 1 }
  const samplingParams = { sampling, seed: 1, maxTokens, minTokens: 0, endTokens: [END], biases: [], wantLogits: false }
  const tokens = typeof prompt === 'number' ? Array.from({ length: prompt }, () => nextToken++) : prompt
  const tasks: Record<Kind, Task> = {
    generate: { kind: 'generate', samplingParams },
    score: { kind: 'score', following: -1 },
    'embed last': { kind: 'embed', tokens: 'last' },
    'embed all': { kind: 'embed', tokens: 'all' },
  }
  const request = new Request(tokens, tasks[kind], {
    token: ({ token }) => seen.tokens.push(token),
    scores: (positions, scores) => {
      for (const [i, position] of positions.entries()) seen.scores[position - 1] = scores[i]!
    },
    hiddenStates: (positions, states) => {
      for (const [i, position] of positions.entries()) seen.states[position] = states[i]![0]!
    },
    end: (reason) => {
      seen.reason = reason
    },
    fail: (error) => {
      seen.error = error
    },
  })
  return { request, seen }
}

let nextToken = 1000

/** Completes steps as workers would: the token after position p is p, unless `tokenOf` says otherwise. */
function complete(
  scheduler: Scheduler,
  scheduled: ScheduledStep,
  tokenOf = (position: number) => position % END,
): void {
  scheduler.complete(scheduled, { tokens: scheduled.outputs.map(({ position }) => tokenOf(position)) })
}

interface Asked {
  prompt: number[]
  maxTokens: number
  kind: Kind
}

const VOCABULARY = 50

/** What becomes of a request where nothing else runs. */
function expected({ prompt, maxTokens, kind }: Asked): Record<'tokens' | 'scores' | 'states', number[]> {
  const nothing = { tokens: [], scores: [], states: [] }
  const ofAll = prompt.map((_, i) => tokenAfter(prompt.slice(0, i + 1), VOCABULARY))
  if (kind === 'score') return { ...nothing, scores: ofAll }
  if (kind === 'embed all') return { ...nothing, states: ofAll }
  if (kind === 'embed last') {
    const states: number[] = []
    states[prompt.length - 1] = ofAll.at(-1)!
    return { ...nothing, states }
  }
  const text = [...prompt]
  for (let i = 0; i < maxTokens; i++) {
    const token = tokenAfter(text, VOCABULARY)
    if (token === END) break
    text.push(token)
  }
  return { ...nothing, tokens: text.slice(prompt.length) }
}

test('over any requests, plans, steps ahead and cache sizes each gets what it gets alone, with texts shared and blocks short', (t) => {
  const prompts = fc.record({ family: fc.nat(2), common: fc.nat(80), own: fc.array(fc.nat(40), { maxLength: 20 }) })
  const requests = fc.array(
    fc.record({
      prompt: prompts.map(({ family, common, own }) => [
        ...Array.from({ length: common }, (_, i) => (i * 7 + family) % 41),
        family,
        ...own,
      ]),
      maxTokens: fc.integer({ min: 1, max: 30 }),
      kind: fc.constantFrom<Kind>(...Array<Kind>(7).fill('generate'), 'score', 'embed last', 'embed all'),
      arrival: fc.nat(30),
      isCancelled: fc.integer({ min: 0, max: 9 }).map((draw) => draw === 0),
    }),
    { minLength: 1, maxLength: 12 },
  )
  const cached = { shared: 0, again: 0 }
  fc.assert(
    fc.property(
      requests,
      fc.record({
        stages: fc.integer({ min: 1, max: 3 }),
        ranks: fc.integer({ min: 1, max: 3 }),
        rows: fc.integer({ min: 1, max: 5 }),
        tokens: fc.constantFrom(8, 40, 200),
        spare: fc.nat(12),
      }),
      (requests, { stages, ranks, rows, tokens, spare }) => {
        const longest = Math.max(...requests.map(({ prompt, maxTokens }) => prompt.length + maxTokens))
        const pool = new BlockPool(ranks, Math.ceil(longest / (ranks * 4)) + spare, 4)
        const scheduler = new Scheduler(pool, { stages, sequences: rows, tokens })
        const worker = new SimulatedWorker(pool, stages, VOCABULARY)
        const asked = requests.map((wanted) => ({
          ...wanted,
          ...requestOf(wanted.prompt, wanted.maxTokens, wanted.kind),
        }))
        const underWay: ScheduledStep[] = []
        let computed = 0
        const begun = new Set<ScheduledStep['sequences'][number]>()
        for (let turn = 0; ; turn++) {
          t.true(turn < 20_000)
          for (const { arrival, request } of asked) if (arrival === turn) scheduler.add(request)
          for (const { arrival, request, isCancelled } of asked) {
            if (isCancelled && arrival + 5 === turn) scheduler.cancel(request)
          }
          for (let next = scheduler.next(); next; next = underWay.length < stages + 2 ? scheduler.next() : undefined) {
            underWay.push(next)
            const { step } = next
            computed += step.sequence.length
            for (const sequence of next.sequences) begun.add(sequence)
            t.true(step.sequence.length > 0 && step.sequence.length <= Math.max(tokens, rows))
            t.true(new Set(next.sequences).size === next.sequences.length && next.sequences.length <= rows)
          }
          const first = underWay.shift()
          if (!first && turn > 40) break
          if (first) scheduler.complete(first, worker.run(first))
        }
        for (const { seen, isCancelled, ...wanted } of asked) {
          const { tokens, scores, states } = expected(wanted)
          if (isCancelled && !seen.reason) continue
          t.deepEqual({ tokens: seen.tokens, scores: seen.scores, states: seen.states }, { tokens, scores, states })
          t.is(seen.reason, wanted.kind === 'generate' && tokens.length < wanted.maxTokens ? 'stop' : 'length')
        }
        t.is(pool.free, pool.blocks)
        t.is(scheduler.work, 0)
        const needed = asked.reduce((sum, { prompt, seen }) => sum + prompt.length + seen.tokens.length, 0)
        if (computed < needed - asked.length) cached.shared++
        if ([...begun].some((sequence) => sequence.turns > 1)) cached.again++
      },
    ),
    { numRuns: process.env.TROUPE_TEST_THOROUGH ? 3000 : 120 },
  )
  t.true(cached.shared > 5 && cached.again > 5, 'texts were shared, and computed again')
})

test('sequences that decode are divided among as many steps as there are stages', (t) => {
  const scheduler = new Scheduler(new BlockPool(1, 100, 16), { stages: 2, sequences: 8, tokens: 256 })
  for (let i = 0; i < 8; i++) scheduler.add(requestOf(20, 30).request)
  complete(scheduler, scheduler.next()!)
  const steps = Array.from({ length: 4 }, () => scheduler.next()!)
  t.deepEqual(
    steps.map(({ sequences }) => sequences.length),
    [4, 4, 4, 4],
  )
  t.deepEqual(steps[2]!.sequences, steps[0]!.sequences)
  t.deepEqual(new Set([...steps[0]!.sequences, ...steps[1]!.sequences]).size, 8)
})

test('a request whose prompt does not fit the cache waits, those after it too, and none is lost', (t) => {
  const scheduler = new Scheduler(new BlockPool(1, 4, 16), { stages: 1, sequences: 8, tokens: 256 })
  const [large, larger, small] = [requestOf(40, 9), requestOf(50, 9), requestOf(5, 2)]
  for (const { request } of [large, larger, small]) scheduler.add(request)
  const first = scheduler.next()!
  t.is(first.sequences.length, 1)
  complete(scheduler, first)
  scheduler.cancel(large.request)
  const second = scheduler.next()!
  t.is(second.sequences[0]!.request, larger.request)
  complete(scheduler, second)
  for (let step = scheduler.next(); step; step = scheduler.next()) complete(scheduler, step)
  t.true(larger.seen.reason !== undefined && small.seen.reason !== undefined && large.seen.reason === undefined)
})

test('what a text may grow to is not set aside: 8 short prompts with long answers run at once in a cache for two of them', (t) => {
  const scheduler = new Scheduler(new BlockPool(1, 20, 16), { stages: 1, sequences: 8, tokens: 256 })
  for (let i = 0; i < 8; i++) scheduler.add(requestOf(10, 150).request)
  const { sequences } = scheduler.next()!
  t.is(sequences.length, 8)
})

test('a prompt of 32 tokens that comes while one of 4,096 is computed is in the next step', (t) => {
  const scheduler = new Scheduler(new BlockPool(1, 400, 16), { stages: 1, sequences: 8, tokens: 256 })
  scheduler.add(requestOf(4096, 5).request)
  complete(scheduler, scheduler.next()!)
  const { request } = requestOf(32, 5)
  scheduler.add(request)
  const { sequences, step } = scheduler.next()!
  t.is(sequences.find((sequence) => sequence.request === request)!.left, 0)
  t.is(step.sequence.length, 256, 'the long prompt has the rest')
})

test('of prompts that begin alike and come together, what is alike is computed once', (t) => {
  const pool = new BlockPool(2, 400, 16)
  const scheduler = new Scheduler(pool, { stages: 1, sequences: 8, tokens: 256 })
  const worker = new SimulatedWorker(pool, 1, VOCABULARY)
  const common = Array.from({ length: 1000 }, (_, i) => i % 37)
  const asked = Array.from({ length: 8 }, (_, i) => requestOf([...common, i], 1))
  for (const { request } of asked) scheduler.add(request)
  let computed = 0
  for (let step = scheduler.next(); step; step = scheduler.next()) {
    computed += step.step.sequence.length
    scheduler.complete(step, worker.run(step))
  }
  // 1,000 tokens are 31 blocks of 32, and 8 tokens.
  t.is(computed, 992 + 8 * 9)
  t.deepEqual(
    asked.map(({ request }) => request.cachedTokens),
    [0, ...Array(7).fill(992)],
  )
  t.is(pool.free, 400)
})

test('a text that ends while steps ahead of it are under way gets nothing of what they give', (t) => {
  const scheduler = new Scheduler(new BlockPool(1, 10, 16), { stages: 2, sequences: 2, tokens: 256 })
  const { request, seen } = requestOf(10, 20)
  scheduler.add(request)
  const steps = Array.from({ length: 4 }, () => scheduler.next()!)
  for (const step of steps) complete(scheduler, step, (position) => (position === 10 ? END : 5))
  t.deepEqual(seen.tokens, [5])
  t.is(seen.reason, 'stop')
  t.is(scheduler.next(), undefined)
})

test('a request that is drained goes on elsewhere with what it has, drawn as if nothing had happened', (t) => {
  const pools = [0, 1].map(() => new BlockPool(1, 40, 4))
  const [first, second] = pools.map((pool) => new Scheduler(pool, { stages: 1, sequences: 2, tokens: 64 }))
  const prompts = [[1, 2, 3], [4, 5, 6, 7, 8], [9]]
  const asked = prompts.map((prompt) => requestOf(prompt, 12))
  for (const { request } of asked) first!.add(request)
  const worker = new SimulatedWorker(pools[0]!, 1, VOCABULARY)
  for (let i = 0; i < 5; i++) {
    const step = first!.next()!
    first!.complete(step, worker.run(step))
  }
  first!.next()
  const requests = first!.drain()
  t.deepEqual(
    requests,
    asked.map(({ request }) => request),
  )
  t.true(requests[0]!.progress > 0)
  for (const request of requests) second!.add(request)
  const other = new SimulatedWorker(pools[1]!, 1, VOCABULARY)
  for (let step = second!.next(); step; step = second!.next()) second!.complete(step, other.run(step))
  asked.forEach(({ seen }, i) => {
    t.deepEqual(seen.tokens, expected({ prompt: prompts[i]!, maxTokens: 12, kind: 'generate' }).tokens)
  })
})

test('a text whose logits are no numbers fails with the position, gives its room back, and leaves the others alone', (t) => {
  const pool = new BlockPool(1, 8, 16)
  const scheduler = new Scheduler(pool, { stages: 1, sequences: 2, tokens: 64 })
  const [damaged, sound, third] = [requestOf(5, 4), requestOf(9, 4), requestOf(20, 2)]
  for (const { request } of [damaged, sound, third]) scheduler.add(request)
  const tokenOf = (position: number) => (position === 5 ? NOT_A_NUMBER : position)
  for (let steps = 0; steps < 20; steps++) {
    const step = scheduler.next()
    if (!step) break
    complete(scheduler, step, tokenOf)
  }
  t.deepEqual(damaged.seen.tokens, [4])
  t.true(damaged.seen.error instanceof LogitsError && damaged.seen.error.position === 5)
  t.is(damaged.seen.reason, undefined)
  t.deepEqual(sound.seen.tokens, [8, 9, 10, 11])
  t.deepEqual(third.seen.tokens, [19, 20])
  t.true(sound.seen.reason === 'length' && third.seen.reason === 'length')
  t.is(scheduler.work, 0)
  t.is(pool.free, 8, 'all blocks are free again')
})

test('a text whose hidden states are no numbers fails with the first position, and leaves the others alone', (t) => {
  const pool = new BlockPool(1, 8, 16)
  const scheduler = new Scheduler(pool, { stages: 1, sequences: 2, tokens: 64 })
  const [damaged, sound] = [requestOf(5, 1, 'embed all'), requestOf(9, 1, 'embed last')]
  for (const { request } of [damaged, sound]) scheduler.add(request)
  const step = scheduler.next()!
  const finalHidden = step.finalHidden.map(({ segment, position }) =>
    Float32Array.of(step.sequences[segment]!.request === damaged.request && position > 2 ? Number.NaN : position),
  )
  scheduler.complete(step, { tokens: [], finalHidden })
  t.true(damaged.seen.error instanceof LogitsError && damaged.seen.error.position === 3)
  t.is(damaged.seen.reason, undefined)
  t.is(sound.seen.states[8], 8)
  t.is(sound.seen.reason, 'length')
  t.is(pool.free, 8, 'all blocks are free again')
})
