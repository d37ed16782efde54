import { runInNewContext } from 'node:vm'
import test from 'ava'
import { collectGarbage } from '../common/collect-garbage.js'
import { CancelledError, InvalidInputError } from '../common/errors.js'
import {
  NamedError,
  Oddity,
  PaymentError,
  RemoteOddity,
  RemotePlayer,
  remotePage,
  remotePayByTask,
} from '../testing/outcomes.js'
import { hostileValue, seeded } from '../testing/random-values.js'
import { remoteSquare } from '../testing/tasks.js'
import { useCluster } from '../testing/use-cluster.js'
import { type Handle, withOptions } from './handle.js'
import { put, wait } from './objects.js'

useCluster(test, { resources: { cpu: 1 } })

/** How many random values are sent; the full number is 10,000. */
const RUNS = Number(process.env.TROUPE_FUZZ ?? 300)

let spawned: Promise<Handle<Oddity>> | undefined
function shared(): Promise<Handle<Oddity>> {
  spawned ??= RemoteOddity.spawn()
  return spawned
}

/** The error that a call fails with. */
async function failureOf(call: PromiseLike<unknown>): Promise<Error> {
  return call.then(
    (value) => new Error(`a value: ${value}`),
    (error) => error,
  )
}

test('a result that is nested too deeply is an error of its own call, in both directions', async (t) => {
  const oddity = await shared()
  const [fine, deep, after] = [oddity.echo(1), oddity.nested(1600), oddity.echo(2)]
  const error = await failureOf(deep)
  t.true(error instanceof InvalidInputError)
  t.regex(error.message, /the result of Oddity#\d+\.nested.* is nested more than \d+ levels deep/)
  t.deepEqual([await fine, await after], [1, 2])
  for (const levels of [1600, 100_000]) {
    const sent = await failureOf(oddity.echo(new Oddity().nested(levels)))
    t.true(sent instanceof InvalidInputError)
    t.regex(sent.message, /argument 1: .* nested more than/)
  }
  const most = await oddity.nested(900)
  t.deepEqual(await oddity.echo(most), most)
})

/** Texts of half a gigabyte take minutes to copy on a slow machine. */
if (process.env.TROUPE_LONG_TEXT) {
  test('a text that is longer than one may be where it arrives is one error of one call, in both directions', async (t) => {
    const oddity = await shared()
    const length = 300e6 // 600 MB as UTF-8
    for (const long of [() => oddity.text(length), () => oddity.echo('é'.repeat(length))]) {
      const [before, error, after] = await Promise.all([oddity.echo(1), failureOf(long()), oddity.echo(2)])
      t.deepEqual([before, after], [1, 2])
      t.regex(error.message, /longer than .* characters; send such text in parts, or as a Uint8Array/)
    }
  })
}

test('an error keeps its own message whatever hangs on it', async (t) => {
  const oddity = await shared()
  for (const thrown of [oddity.throwWithOddCause(), oddity.throwWithGetter(), oddity.throwCircle()]) {
    t.is((await failureOf(thrown)).message, 'card declined')
  }
  t.true((await failureOf(oddity.throwWithGetter())) instanceof RangeError)
  for (const length of [600, 20_000])
    t.is((await failureOf(oddity.throwChain(length))).message, `attempt ${length - 1}`)
  t.regex((await failureOf(oddity.throwNoError())).message, /what throwNoError threw cannot be sent.*card declined/s)
})

test('a generator that yields what cannot be sent is ended, and its reader told', async (t) => {
  const oddity = await shared()
  const read = async (kind: 'function' | 'deep' | 'throws') => {
    const items: unknown[] = []
    try {
      for await (const item of oddity.rows(kind)) items.push(item)
    } catch (error) {
      return [items, (error as Error).message]
    }
    return [items]
  }
  t.regex(String(await read('function')), /^1,an item of .* is a function and cannot be sent/)
  t.regex(String(await read('deep')), /^1,an item of .* levels deep/)
  t.is(String(await read('throws')), '1,no second')
  t.is(await oddity.opened(), 0)
})

test('a predicate that throws fails its task, whose worker is free for the next one', async (t) => {
  const error = await failureOf(remotePage())
  t.true(error instanceof InvalidInputError)
  t.regex(error.message, /retryExceptions of page threw TypeError.*socket hang up/s)
  t.is(await remoteSquare(3), 9)
})

test('plain values of another realm arrive', async (t) => {
  const oddity = await shared()
  const sources = [
    '({ a: [1, 2] })',
    '[1, { b: 2 }]',
    'new Date(0)',
    'new Map([[1, new Set([2])]])',
    '/a+/g',
    'Uint16Array.of(1, 2)',
    'new ArrayBuffer(4)',
    'Object.create(null)',
  ]
  for (const source of sources) {
    t.deepEqual(await oddity.echo(runInNewContext(source)), new Function(`return ${source}`)())
  }
  const error = (await oddity.echo(runInNewContext('new RangeError("x", { cause: 1 })'))) as RangeError
  t.true(error instanceof RangeError)
  t.deepEqual([error.message, error.cause], ['x', 1])
})

test('every call of random values has an outcome, and those made beside it get their answers', async (t) => {
  const oddity = await shared()
  const within = async (call: PromiseLike<unknown>, what: string) => {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise((_, reject) => {
      timer = setTimeout(() => reject(new Error(`no outcome: ${what}`)), 60_000)
    })
    const outcome = call.then(
      () => 'value',
      (error) => (error as Error)?.message ?? 'no error',
    )
    try {
      return await Promise.race([outcome, late])
    } finally {
      clearTimeout(timer)
    }
  }
  const readAll = async (items: AsyncIterable<unknown>) => {
    for await (const _ of items);
  }
  for (let seed = 0; seed < RUNS; seed++) {
    const fine = oddity.echo(seed)
    const calls = [
      within(oddity.echo(hostileValue(seeded(seed)) as never), `echo ${seed}`),
      within(oddity.give(seed), `give ${seed}`),
      within(oddity.throwIt(seed), `throwIt ${seed}`),
      within(readAll(oddity.yieldIt(seed)), `yieldIt ${seed}`),
    ]
    const own = within(oddity.throwWith(seed), `throwWith ${seed}`)
    t.is(await fine, seed)
    await Promise.all(calls)
    t.is(await own, 'its own message', `seed ${seed}`)
  }
  t.is(await oddity.opened(), 0)
})

test('readers of one stream share its items, in the order they asked for them', async (t) => {
  const stream = (await shared()).count(6)
  const read = async () => {
    const items: number[] = []
    for await (const item of stream) items.push(item)
    return items
  }
  t.deepEqual(await Promise.all([read(), read()]), [
    [1, 3, 5],
    [2, 4, 6],
  ])
  const iterator = (await shared()).count(2)[Symbol.asyncIterator]()
  const [first, second, third] = await Promise.all([iterator.next(), iterator.next(), iterator.next()])
  t.deepEqual([first.value, second.value, third.done], [1, 2, true])
  const failing = (await shared()).rows('throws')[Symbol.asyncIterator]()
  const outcomes = await Promise.allSettled([failing.next(), failing.next(), failing.next()])
  t.deepEqual(
    outcomes.map(({ status }) => status),
    ['fulfilled', 'rejected', 'rejected'],
  )
})

test('wait takes a ref twice, and waits as long as it was told to', async (t) => {
  const oddity = await shared()
  const known = put(1)
  t.is((await wait([known, known], { count: 2 })).ready.length, 2)
  for (const timeout of [Number.POSITIVE_INFINITY, 2 ** 31, 2 ** 40]) {
    t.is((await wait([oddity.echo(1)], { timeout })).ready.length, 1)
  }
  for (const timeout of [Number.NaN, -1]) {
    await t.throwsAsync(wait([known], { timeout }), { instanceOf: InvalidInputError, message: /timeout must be/ })
  }
  const pending = (await RemotePlayer.spawn()).never()
  t.is((await wait<unknown>([pending, known], { timeout: 0, count: 2 })).pending.length, 1)
})

test('waiting again and again for refs without an outcome keeps nothing', async (t) => {
  const player = await RemotePlayer.spawn()
  const refs = Array.from({ length: 100 }, () => player.never())
  await wait(refs, { timeout: 1 })
  collectGarbage()
  const before = process.memoryUsage().heapUsed
  for (let poll = 0; poll < 300; poll++) await wait(refs, { timeout: 0 })
  collectGarbage()
  t.true(process.memoryUsage().heapUsed - before < 4 * 2 ** 20)
})

test('many calls with one signal warn of nothing, and all end when it is aborted', async (t) => {
  const warnings: Error[] = []
  const warned = (warning: Error) => warnings.push(warning)
  process.on('warning', warned)
  const controller = new AbortController()
  const player = withOptions(await RemotePlayer.spawn(), { signal: controller.signal })
  await Promise.all(Array.from({ length: 50 }, () => player.all()))
  const pending = Array.from({ length: 50 }, () => failureOf(player.never()))
  await new Promise((resolve) => setImmediate(resolve))
  controller.abort()
  for (const error of await Promise.all(pending)) t.true(error instanceof CancelledError)
  t.deepEqual(warnings, [])
  process.off('warning', warned)
})

for (const isolation of ['process', 'thread', 'local'] as const) {
  test(`errors of every class that both sides have arrive as themselves: ${isolation}`, async (t) => {
    const oddity = await RemoteOddity.options({ isolation }).spawn()
    const read = async () => {
      for await (const _ of oddity.payOften());
    }
    for (const thrown of [oddity.pay(3), remotePayByTask(), read()]) {
      const error = await failureOf(thrown)
      t.true(error instanceof PaymentError)
      t.true((error as PaymentError).amount > 0)
      t.is(error.message, 'declined')
    }
    const both = (await failureOf(oddity.throwWithParts())) as AggregateError & { reason: Error }
    t.true(
      both instanceof AggregateError && both.errors[0] instanceof PaymentError && both.errors[1] instanceof TypeError,
    )
    const cause = both.cause as Error
    t.true(cause instanceof NamedError && cause instanceof PaymentError)
    t.is(cause.name, 'FundsError')
    t.true(cause.cause instanceof DOMException)
    t.deepEqual([(cause.cause as Error).name, (cause.cause as Error).message], ['AbortError', 'aborted'])
    t.true(both.reason instanceof TypeError)
    t.is(both.reason.name, 'OddError')
    const echoed = await oddity.echo(new PaymentError('sent', 5))
    t.true(echoed instanceof PaymentError)
    const unknown = (await failureOf(oddity.throwUnregistered())) as Error & { code?: number }
    t.deepEqual([unknown.name, unknown.message, unknown.code], ['LocalError', 'odd', 7])
    const other = (await failureOf(oddity.throwOther())) as Error & { code?: number }
    t.false(other instanceof PaymentError, 'another class of the same name is another class')
    t.deepEqual([other.name, other.code], ['PaymentError', 7])
  })
}
