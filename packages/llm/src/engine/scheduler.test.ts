import test from 'ava'
import fc from 'fast-check'
import { BlockPool } from './cache.js'
import { Request } from './request.js'
import { LogitsError, NOT_A_NUMBER } from './sampler.js'
import { type ScheduledStep, Scheduler } from './scheduler.js'

const END = 99

/** A request that notes what becomes of it. */
function requestOf(prompt: number, maxTokens: number) {
  const seen = { tokens: [] as number[], ended: false, error: undefined as Error | undefined }
  const sampling = { temperature: 0, topK: 0, topP: 1 }
  const samplingParams = { sampling, seed: 1, maxTokens, endTokens: [END], wantLogits: false }
  const request = new Request(Array(prompt).fill(7), samplingParams, {
    token: (token) => seen.tokens.push(token),
    scores: () => {},
    end: () => {
      seen.ended = true
    },
    fail: (error) => {
      seen.error = error
    },
  })
  return { request, seen }
}

/** Completes steps as workers would: the token after position p is p, unless `tokenOf` says otherwise. */
function complete(
  scheduler: Scheduler,
  scheduled: ScheduledStep,
  tokenOf = (position: number) => position % END,
): void {
  scheduler.complete(scheduled, { tokens: scheduled.outputs.map(({ position }) => tokenOf(position)) })
}

test('over any requests, stages and cache sizes each gets its tokens in order, in the order of arrival, within all limits', (t) => {
  const requests = fc.array(
    fc.record({ prompt: fc.integer({ min: 1, max: 90 }), maxTokens: fc.integer({ min: 1, max: 12 }) }),
    {
      minLength: 1,
      maxLength: 12,
    },
  )
  fc.assert(
    fc.property(
      requests,
      fc.integer({ min: 1, max: 4 }),
      fc.integer({ min: 1, max: 5 }),
      fc.constantFrom(8, 40),
      fc.integer({ min: 7, max: 20 }),
      (requests, stages, sequences, tokens, blocks) => {
        const pool = new BlockPool(1, blocks, 16)
        const scheduler = new Scheduler(pool, { stages, sequences, tokens })
        const asked = requests.map(({ prompt, maxTokens }) => ({ ...requestOf(prompt, maxTokens), prompt, maxTokens }))
        for (const { request } of asked) scheduler.add(request)
        const underWay: ScheduledStep[] = []
        const sampledBy: number[] = []
        let taken = 0
        for (let turn = 0; ; turn++) {
          t.true(turn < 10_000)
          for (let next = scheduler.next(); next; next = underWay.length < stages + 2 ? scheduler.next() : undefined) {
            underWay.push(next)
            const { step } = next
            t.true(step.sequence.length > 0 && step.sequence.length <= Math.max(tokens, sequences))
            t.true(new Set(next.sequences).size === next.sequences.length && next.sequences.length <= sequences)
            // The first stage takes in the tokens of earlier steps once each, in order.
            for (const count of step.feedbackCounts) t.is(count, sampledBy[taken++]!)
            if (step.outputRows.length > 0) sampledBy.push(step.outputRows.length)
          }
          const first = underWay.shift()
          if (!first) break
          complete(scheduler, first)
        }
        for (const { seen, prompt, maxTokens } of asked) {
          t.true(seen.ended)
          t.deepEqual(
            seen.tokens,
            Array.from({ length: maxTokens }, (_, i) => (prompt - 1 + i) % END),
          )
        }
        t.is(pool.unreserved, blocks)
        t.is(scheduler.work, 0)
      },
    ),
    { numRuns: 100 },
  )
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

test('a request that does not fit the cache waits, those after it too, and none is lost', (t) => {
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
  t.true(larger.seen.ended && small.seen.ended && !large.seen.ended)
})

test('a text that ends while steps ahead of it are under way gets nothing of what they give', (t) => {
  const scheduler = new Scheduler(new BlockPool(1, 10, 16), { stages: 2, sequences: 2, tokens: 256 })
  const { request, seen } = requestOf(10, 20)
  scheduler.add(request)
  const steps = Array.from({ length: 4 }, () => scheduler.next()!)
  for (const step of steps) complete(scheduler, step, (position) => (position === 10 ? END : 5))
  t.deepEqual(seen.tokens, [5])
  t.true(seen.ended)
  t.is(scheduler.next(), undefined)
})

test('a failure reaches every request, those that wait too', (t) => {
  const scheduler = new Scheduler(new BlockPool(1, 1, 16), { stages: 1, sequences: 1, tokens: 16 })
  const asked = [requestOf(4, 4), requestOf(4, 4)]
  for (const { request } of asked) scheduler.add(request)
  scheduler.next()
  const error = new Error('gone')
  scheduler.fail(error)
  t.true(asked.every(({ seen }) => seen.error === error))
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
  t.false(damaged.seen.ended)
  t.deepEqual(sound.seen, { tokens: [8, 9, 10, 11], ended: true, error: undefined })
  t.deepEqual(third.seen, { tokens: [19, 20], ended: true, error: undefined })
  t.is(scheduler.work, 0)
  t.true(pool.reserve(8), 'all blocks are free again')
})
