import test from 'ava'
import { ActorDiedError, InvalidInputError } from '../common/errors.js'
import { randomValue, seeded } from '../testing/random-values.js'
import { decode, encode, registerCodec } from './codec.js'
import { EnvelopeReader, envelopes, join, type Payload, pack, seal } from './wire.js'

/** Sends a value through the frames of a message. */
function travel(value: unknown): unknown {
  const { tree, tagged, attachments } = encode([value], 'arguments', true)
  const packet = pack({ kind: envelopes.result, request: 1, pin: 0 }, [tree, tagged, attachments.length], attachments)
  seal(packet, 0)
  const envelope = new EnvelopeReader(join([packet]).map((frame) => Buffer.from(frame))).next(0)
  const [arrivedTree, arrivedMarked, count] = envelope!.body() as Payload
  const [arrived] = decode(arrivedTree, arrivedMarked, envelope!.queue().take(count), true) as unknown[]
  return arrived
}

test('random nested values arrive as they were sent', (t) => {
  for (let seed = 1; seed <= 300; seed++) {
    const value = randomValue(seeded(seed))
    t.deepEqual(travel(value), value, `seed ${seed}`)
  }
})

test('cycles and shared objects keep their shape', (t) => {
  const shared = { name: 'shared' }
  const value: Record<string, unknown> = { list: [shared, shared], map: new Map([[shared, shared]]) }
  value.self = value
  const arrived = travel(value) as { list: object[]; map: Map<object, object>; self: unknown }
  t.is(arrived.self, arrived)
  t.is(arrived.list[0], arrived.list[1])
  t.is(arrived.map.get(arrived.list[0]!), arrived.list[0])
})

test('text with lone surrogates, negative zero, invalid dates and undefined arrive unchanged', (t) => {
  for (const value of ['\ud800x', -0, Number.NaN, new Date(Number.NaN), undefined, { a: undefined }, [undefined]]) {
    t.deepEqual(travel(value), value)
  }
})

test('arrays that look like the marks of the wire arrive unchanged', (t) => {
  for (const value of [['\u0000', 3, []], ['\u0000'], [['\u0000', 0, 0]]]) t.deepEqual(travel(value), value)
})

test('a key named __proto__ arrives as a key', (t) => {
  const value = JSON.parse('{"__proto__": {"admin": true}, "plain": 1}')
  const arrived = travel(value) as object
  t.deepEqual(Object.keys(arrived), ['__proto__', 'plain'])
  t.false('admin' in arrived)
})

test('large arrays travel beside the message, and changes after the call do not change what is sent', (t) => {
  const floats = new Float32Array(5000).fill(1.5)
  const encoded = encode([floats], 'arguments', true)
  t.is(encoded.attachments.length, 1)
  floats.fill(0)
  const [arrived] = decode(encoded.tree, encoded.tagged, encoded.attachments, true) as [Float32Array]
  t.is(arrived[4999], 1.5)
})

test('views of every kind arrive as their class, at any alignment', (t) => {
  const bytes = Uint8Array.from({ length: 4003 }, (_, index) => index)
  for (const size of [24, 4000]) {
    for (const Type of [Int8Array, Uint16Array, Float32Array, Float64Array, BigInt64Array, Uint8ClampedArray]) {
      const value = new Type(bytes.buffer.slice(0, size))
      t.deepEqual(travel(value), value)
    }
    t.deepEqual(travel(Buffer.from(bytes.subarray(3, size))), Buffer.from(bytes.subarray(3, size)))
    t.deepEqual(travel(bytes.buffer.slice(0, size)), bytes.buffer.slice(0, size))
    t.deepEqual(travel(new DataView(bytes.buffer, 1, size)), new DataView(bytes.buffer, 1, size))
  }
})

test('errors arrive with their class, cause, stack and own properties', (t) => {
  const error = Object.assign(
    new RangeError('too far', { cause: new ActorDiedError('Counter#1', 'its process exited') }),
    {
      limit: 7,
    },
  )
  const arrived = travel(error) as RangeError & { limit: number }
  t.true(arrived instanceof RangeError)
  t.is(arrived.message, 'too far')
  t.is(arrived.stack, error.stack)
  t.is(arrived.limit, 7)
  t.true(arrived.cause instanceof ActorDiedError)
  t.is((arrived.cause as ActorDiedError).actor, 'Counter#1')
})

test('an error with something on it that cannot be sent arrives all the same', (t) => {
  const error = Object.assign(new Error('odd'), { socket: new WeakMap(), list: [1] })
  const arrived = travel([error, error]) as [Error & { list: number[] }, Error]
  t.is(arrived[0].message, 'odd')
  t.deepEqual(arrived[0].list, [1])
  t.is(arrived[0], arrived[1] as (typeof arrived)[0])
})

test('what cannot be sent is refused with its path', (t) => {
  const refused: [unknown, RegExp][] = [
    [{ options: { callback() {} } }, /^argument 1: \.options\.callback is a function and cannot be sent/],
    [[1, Symbol('x')], /^argument 1: \[1\] is a symbol and cannot be sent/],
    [() => 1, /^argument 1 is a function and cannot be sent/],
    [{ 'a b': new (class Socket {})() }, /^argument 1: \["a b"\] is an instance of Socket and cannot be sent/],
  ]
  for (const [value, message] of refused) t.throws(() => travel(value), { instanceOf: InvalidInputError, message })
})

test('what never ends, or ends at billions, is refused at once with the limit', (t) => {
  const sparse: unknown[] = []
  sparse[4e9 - 2] = 1
  class Endless extends Map<number, number> {
    override *[Symbol.iterator](): MapIterator<[number, number]> {
      for (let i = 0; ; i++) yield [i, i]
    }
  }
  class EndlessSet extends Set<number> {
    override *[Symbol.iterator](): SetIterator<number> {
      for (let i = 0; ; i++) yield i
    }
  }
  const many = /is part of a value of more than 16777216 items, fields and entries together and cannot be sent/
  const halves = () => Array.from({ length: 3 }, () => Array(2 ** 23).fill(0))
  const refused: [unknown, RegExp][] = [
    [sparse, many],
    [{ rows: [sparse] }, /^argument 1: \.rows\[0\] is part of a value of more than/],
    [new Map([[1, sparse]]), many],
    [new Set([sparse]), many],
    [new Proxy([], { get: (_, key) => (key === 'length' ? 2 ** 32 - 1 : 0) }), many],
    [halves(), /^argument 1: \[\d\] is part of/],
    [new Uint8Array(2 ** 32), /arrays of more than 4294967295 bytes together/],
  ]
  for (const [value, message] of refused)
    t.throws(() => encode([value], 'arguments', true), { instanceOf: InvalidInputError, message })
  t.throws(() => encode(sparse, 'the result of A.b', true), {
    instanceOf: InvalidInputError,
    message: /^the result of A.b is part/,
  })
  const error = Object.assign(new Error('its own message'), { sparse, after: [1] })
  t.like(travel(error), { message: 'its own message', after: [1] })
  t.deepEqual(travel(new Endless([[1, 2]])), new Map([[1, 2]]))
  t.deepEqual(travel(new EndlessSet([3])), new Set([3]))
  const hole: unknown[] = []
  hole[1000] = 1
  t.is((travel(hole) as unknown[]).length, 1001)
  const circle = new Map<string, unknown>()
  circle.set('self', new Set([circle]))
  const arrived = travel(circle) as Map<string, Set<unknown>>
  t.true(arrived.get('self')!.has(arrived))
})

test('a value that cannot be read is refused with the place and what was thrown', (t) => {
  const refuse = () => {
    throw new Error('not to be read')
  }
  const refused: [unknown, RegExp][] = [
    [
      {
        a: [
          {
            get b() {
              return refuse()
            },
          },
        ],
      },
      /^argument 1: \.a\[0\]\.b is a property that cannot be read \(Error: not to be read\)/,
    ],
    [
      { a: new Proxy({}, { ownKeys: refuse }) },
      /^argument 1: \.a is an object whose keys cannot be read \(Error: not to be read\)/,
    ],
    [
      new Proxy([1], { get: (list, key) => (key === '0' ? refuse() : Reflect.get(list, key)) }),
      /^argument 1: \[0\] is a property that cannot/,
    ],
  ]
  for (const [value, message] of refused) t.throws(() => travel(value), { instanceOf: InvalidInputError, message })
})

test('bytes that a codec attaches may change, and may be given away, once they are encoded', (t) => {
  const bytes = Uint8Array.of(1, 2)
  const { attachments } = encode([new Point(4, bytes)], 'arguments', false)
  bytes.fill(9)
  structuredClone(bytes, { transfer: [bytes.buffer] })
  t.deepEqual(
    attachments.map((each) => [...each]),
    [[1, 2]],
  )
})

class Point {
  constructor(
    readonly x: number,
    readonly bytes: Uint8Array,
  ) {}
}
const released: number[] = []
registerCodec<Point, { x: number; bytes: number }>({
  name: 'test.point',
  matches: (value): value is Point => value instanceof Point,
  encode: (point, context) => {
    context.pin(() => released.push(point.x))
    return { x: point.x, bytes: context.attach(point.bytes) }
  },
  decode: ({ x, bytes }, context) => new Point(x, context.attachment(bytes)),
})

test('an instance of a registered class arrives through its codec', (t) => {
  const arrived = travel({ point: new Point(4, Uint8Array.of(1, 2)) }) as { point: Point }
  t.true(arrived.point instanceof Point)
  t.deepEqual([...arrived.point.bytes], [1, 2])
})

test('a refused message releases what its codecs had pinned', (t) => {
  t.throws(() => encode([new Point(9, new Uint8Array(1)), () => 1], 'arguments', true))
  t.true(released.includes(9))
})

test('a codec name can be registered only once', (t) => {
  const codec = {
    name: 'test.point',
    matches: (_: object): _ is Point => false,
    encode: () => 0,
    decode: () => new Point(0, new Uint8Array()),
  }
  t.throws(() => registerCodec(codec), { instanceOf: InvalidInputError, message: /test\.point is registered already/ })
})

test('bytes that are no message are refused without harm', (t) => {
  const random = seeded(42)
  for (let round = 0; round < 500; round++) {
    const frame = Buffer.from({ length: 40 } as ArrayLike<number>).map(() => Math.floor(random() * 256))
    try {
      t.fail(`kind ${new EnvelopeReader([frame]).next(0)?.kind}`)
    } catch (error) {
      t.true(error instanceof Error)
    }
  }
})
