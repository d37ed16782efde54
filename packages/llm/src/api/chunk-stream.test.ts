import { InvalidInputError } from '@troupe/core'
import test from 'ava'
import { ChunkStream, type Work } from './chunk-stream.js'

/** A work that goes on until it is ended, after some chunks. */
async function endless({ give, signal }: Work<number>): Promise<string> {
  for (let i = 0; i < 3; i++) give(i)
  await new Promise<void>((resolve) => {
    if (signal.aborted) resolve()
    signal.addEventListener('abort', () => resolve())
  })
  return 'ended'
}

const short = async ({ give, usage }: Work<number>) => {
  give(1)
  await Promise.resolve()
  give(2)
  usage.completionTokens = 2
  return 'all'
}

test('a stream that is awaited gives the result, as often as asked', async (t) => {
  const stream = new ChunkStream(short)
  t.is(await stream, 'all')
  t.is(await stream, 'all')
  t.is(stream.usage.completionTokens, 2)
  t.throws(() => stream[Symbol.asyncIterator](), { instanceOf: InvalidInputError, message: /read once/ })
})

test('a stream that is looped over gives the chunks, those too that came before', async (t) => {
  const stream = new ChunkStream(short)
  await new Promise((resolve) => setImmediate(resolve))
  const found: number[] = []
  for await (const chunk of stream) found.push(chunk)
  t.deepEqual(found, [1, 2])
  await t.throwsAsync(async () => await stream, { message: /read once/ })
})

test('a loop that ends early ends the work', async (t) => {
  let signal: AbortSignal | undefined
  const work = (given: Work<number>) => {
    signal = given.signal
    return endless(given)
  }
  for await (const chunk of new ChunkStream(work)) {
    if (chunk === 1) break
  }
  t.true(signal?.aborted)
})

test('leaving ends a read that waits', async (t) => {
  const iterator = new ChunkStream(endless)[Symbol.asyncIterator]()
  for (let i = 0; i < 3; i++) t.is((await iterator.next()).value, i)
  const waiting = iterator.next()
  await iterator.return!()
  t.deepEqual(await waiting, { value: undefined, done: true })
})

test('a signal ends a stream with its reason, before it begins too, and an error comes behind the chunks', async (t) => {
  const reason = new Error('enough')
  const controller = new AbortController()
  const stream = new ChunkStream(endless, controller.signal)
  const found: number[] = []
  const loop = async () => {
    for await (const chunk of stream) {
      found.push(chunk)
      if (chunk === 2) controller.abort(reason)
    }
  }
  t.is(await t.throwsAsync(loop), reason)
  t.deepEqual(found, [0, 1, 2])

  let hasBegun = false
  const begun = async () => {
    hasBegun = true
  }
  const late = new ChunkStream<number, void>(begun, AbortSignal.abort(reason))
  t.is(await t.throwsAsync(async () => await late), reason)
  t.false(hasBegun)

  const failing = new ChunkStream<number, void>(async ({ give }) => {
    give(1)
    throw reason
  })
  const iterator = failing[Symbol.asyncIterator]()
  t.is((await iterator.next()).value, 1)
  t.is(await t.throwsAsync(() => iterator.next() as Promise<unknown>), reason)
  t.true((await iterator.next()).done)
})

test('an error that nobody reads ends nothing', async (t) => {
  new ChunkStream<number, void>(() => Promise.reject(new Error('unread')))
  await new Promise((resolve) => setImmediate(resolve))
  t.pass()
})
