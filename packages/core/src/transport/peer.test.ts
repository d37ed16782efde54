import test from 'ava'
import fc from 'fast-check'
import { type Codec, encode, registerCodec } from './codec.js'
import { control, serve } from './control.js'
import { type Link, LinkLostError, type PeerIdentity } from './link.js'
import { Peer } from './peer.js'
import { join, type Packet } from './wire.js'

/** How many messages are damaged; the full number is 10,000. */
const RUNS = Number(process.env.TROUPE_FUZZ ?? 1000)

type Damage = (frames: Buffer[]) => Buffer[]

class MemoryLink implements Link {
  waiting: Packet[] = []
  isClosed = false

  post(packet: Packet): void {
    if (!this.isClosed) this.waiting.push(packet)
  }

  close(): void {
    this.isClosed = true
  }

  take(): Buffer[] {
    return join(this.waiting.splice(0)).map((frame) => Buffer.from(frame))
  }
}

interface Served {
  echo(value: unknown): unknown
  fail(text: string): never
  count(limit: number): AsyncIterable<number>
}

const served: Served = {
  echo: (value) => value,
  fail: (text) => {
    throw new RangeError(text)
  },
  async *count(limit) {
    for (let index = 0; index < limit; index++) yield index
  },
}

/** Two ends of a connection whose messages a test carries over. */
class Pair {
  readonly links = [new MemoryLink(), new MemoryLink()] as const
  readonly caller: Peer
  readonly callee: Peer
  /** The envelopes of every message. */
  readonly carried: Buffer[] = []

  constructor(methods: object = served) {
    const identity = (processId: string): PeerIdentity => ({ processId, nodeId: processId })
    this.caller = new Peer(identity('caller'), identity('callee'))
    this.callee = new Peer(identity('callee'), identity('caller'))
    this.caller.handler = { call: (call) => void serve({}, call) }
    this.callee.handler = { call: (call) => void serve(methods, call) }
    this.caller.link = this.links[0]
    this.callee.link = this.links[1]
  }

  /** Carries messages until there are no more; the one with a number is damaged. */
  async carry(damaged = -1, damage: Damage = (frames) => frames): Promise<void> {
    const directions = [
      [this.links[0], this.callee],
      [this.links[1], this.caller],
    ] as const
    for (let idle = 0; idle < 3; idle++) {
      for (const [link, receiver] of directions) {
        if (link.waiting.length > 0) {
          idle = 0
          const frames = link.take()
          this.carried.push(Buffer.from(frames[0]!))
          receiver.received(this.carried.length - 1 === damaged ? damage(frames) : frames)
        }
        if (link.isClosed) receiver.lost(new LinkLostError('closed'))
      }
      await new Promise((resolve) => setImmediate(resolve))
    }
  }
}

/** What became of a request. */
type Outcome = { value: unknown } | { error: unknown } | 'pending'

function echo(peer: Peer, value: unknown): () => Outcome {
  let outcome: Outcome = 'pending'
  control<Served>(peer)
    .echo(value)
    .then(
      (result) => {
        outcome = { value: result }
      },
      (error) => {
        outcome = { error }
      },
    )
  return () => outcome
}

const values = fc.array(
  fc.oneof(
    fc.jsonValue(),
    fc.anything({ withBigInt: true, withDate: true, withMap: true, withSet: true, withTypedArray: true }),
    fc.uint8Array({ minLength: 2000, maxLength: 3000 }),
  ),
  { minLength: 1, maxLength: 6 },
)

/** Where to flip, cut or splice: a frame and a place in it, as shares. */
const damages = fc.record({
  kind: fc.constantFrom('flip', 'cut', 'cut frame', 'drop frame', 'repeat', 'splice', 'insert'),
  message: fc.nat(3),
  frame: fc.double({ min: 0, max: 0.999, noNaN: true }),
  at: fc.double({ min: 0, max: 0.999, noNaN: true }),
  from: fc.double({ min: 0, max: 0.999, noNaN: true }),
  bits: fc.array(fc.nat(7), { minLength: 1, maxLength: 4 }),
})

test('every call has an outcome however a message was damaged on its way', async (t) => {
  const property = fc.asyncProperty(values, damages, async (list, { kind, message, frame, at, from, bits }) => {
    const pair = new Pair()
    const outcomes = list.map((value) => echo(pair.caller, value))
    const failing = control<Served>(pair.caller).fail('as asked')
    let isSettled = false
    const settled = () => {
      isSettled = true
    }
    failing.then(settled, settled)
    await pair.carry(message, (frames) => {
      const index = Math.floor(frame * frames.length)
      const chosen = frames[index]!
      const place = Math.floor(at * chosen.length)
      const earlier = pair.carried.at(-2) ?? frames[0]!
      const source = earlier.subarray(Math.floor(from * earlier.length))
      switch (kind) {
        case 'flip':
          for (const [step, bit] of bits.entries()) if (place + step < chosen.length) chosen[place + step]! ^= 1 << bit
          return frames
        case 'cut':
          return frames.slice(0, index + 1)
        case 'cut frame':
          frames[index] = chosen.subarray(0, place)
          return frames
        case 'drop frame':
          return frames.filter((_, position) => position !== index)
        case 'repeat':
          frames[index] = Buffer.concat([chosen, chosen])
          return frames
        case 'splice':
          frames[index] = Buffer.concat([chosen.subarray(0, place), source])
          return frames
        default:
          frames[index] = Buffer.concat([chosen.subarray(0, place), source, chosen.subarray(place)])
          return frames
      }
    })
    return (
      isSettled && outcomes.every((outcome) => outcome() !== 'pending') && (pair.caller.isIdle || pair.caller.isLost)
    )
  })
  await t.notThrowsAsync(fc.assert(property, { numRuns: RUNS }))
})

const HEAD_BYTES = 26

/** Where each envelope of a frame begins. */
function envelopesOf(frame: Buffer): [start: number, end: number][] {
  const found: [number, number][] = []
  for (let start = 0; start < frame.length; start += frame.readUInt32LE(start)) {
    found.push([start, start + frame.readUInt32LE(start)])
  }
  return found
}

test('a body that cannot be read fails its own call, and the others of its message are answered', async (t) => {
  const property = fc.asyncProperty(
    fc.nat(4),
    fc.nat(1),
    fc.oneof(fc.uint8Array({ minLength: 1, maxLength: 60 }), fc.constant(new Uint8Array(60).fill(0x91))),
    async (victim, message, garbage) => {
      const pair = new Pair()
      const outcomes = [0, 1, 2, 3, 4].map((number) => echo(pair.caller, { number, text: 'x'.repeat(60) }))
      await pair.carry(message, ([first, ...rest]) => {
        const [start, end] = envelopesOf(first!)[victim]!
        Buffer.from(garbage).copy(first!, start + HEAD_BYTES, 0, end - start - HEAD_BYTES)
        return [first!, ...rest]
      })
      for (const [number, outcome] of outcomes.entries()) {
        if (number === victim) t.not(outcome(), 'pending')
        else t.deepEqual(outcome(), { value: { number, text: 'x'.repeat(60) } })
      }
      t.false(pair.caller.isLost)
    },
  )
  await fc.assert(property, { numRuns: RUNS / 4 })
})

test('a head that cannot be read fails all calls of the connection at both ends, and says why', async (t) => {
  const pair = new Pair()
  const outcome = echo(pair.caller, 1)
  await pair.carry(0, ([first]) => {
    first![5]! ^= 1
    return [first!]
  })
  t.true(pair.caller.isLost && pair.callee.isLost)
  const { error } = outcome() as { error: Error }
  t.true(error instanceof LinkLostError)
  t.regex(error.message, /process callee cannot read what it was sent: .*checksum/)
})

class Trouble {
  released = 0

  constructor(readonly when: 'packed' | 'unpacked' | 'released') {}
}
const troubleCodec: Codec<Trouble, unknown> = {
  name: 'test.trouble',
  matches: (value): value is Trouble => value instanceof Trouble,
  encode: (trouble, context) => {
    const { when } = trouble
    context.pin(() => {
      trouble.released += 1
      if (when === 'released') throw new Error('a careless codec')
    })
    // What msgpack has no type for, and the encoder does not look into.
    return when === 'packed' ? { bytes: context.attach(new Uint8Array(1)), value: lateSymbol() } : when
  },
  decode: (data) => {
    if (data === 'unpacked') throw new RangeError('cannot be read')
    return data as never
  },
}
registerCodec(troubleCodec)

/** An object whose getter gives something else when it is packed than when it was encoded. */
function lateSymbol(): object {
  let reads = 0
  return Object.defineProperty({}, 'value', { enumerable: true, get: () => (reads++ < 1 ? 1 : Symbol('late')) })
}

test('a request that cannot be packed fails at once, lets go of what it pinned, and leaves the connection whole', async (t) => {
  const pair = new Pair()
  const trouble = new Trouble('packed')
  const [before, broken, after] = [1, trouble, 3].map((value) => echo(pair.caller, value))
  await pair.carry()
  t.deepEqual(before!(), { value: 1 })
  t.deepEqual(after!(), { value: 3 })
  t.regex(String((broken!() as { error: Error }).error), /arguments cannot be packed/)
  t.is(trouble.released, 1)
  t.true(pair.caller.isIdle)
})

test('an answer that cannot be packed, and one that cannot be decoded, are errors of their own calls', async (t) => {
  const pair = new Pair({ ...served, trouble: (when: Trouble['when']) => new Trouble(when) })
  const troubled = control<{ trouble(when: Trouble['when']): unknown }>(pair.caller)
  const failures = (['packed', 'unpacked'] as const).map((when) => t.throwsAsync(troubled.trouble(when)))
  const fine = echo(pair.caller, 'fine')
  await pair.carry()
  const [packed, unpacked] = await Promise.all(failures)
  t.regex(String(packed), /the result of trouble cannot be packed/)
  t.regex(String(unpacked), /RangeError: cannot be read/)
  t.deepEqual(fine(), { value: 'fine' })
})

test('what a handler, a release or an answer throws keeps no other call from its outcome', async (t) => {
  const pair = new Pair()
  const careless = new Peer({ processId: 'callee', nodeId: 'callee' }, { processId: 'caller', nodeId: 'caller' })
  careless.handler = {
    call: (call) => {
      if (call.method === 'echo' && call.args[0] === 'bad') throw new RangeError('a careless handler')
      void serve(served, call)
    },
    prepare: (_, method) => {
      if (method === 'count') throw new TypeError('a careless preparation')
      return undefined
    },
  }
  careless.link = pair.links[1]
  Object.assign(pair, { callee: careless })
  const [first, bad, last] = [new Trouble('released'), 'bad', 'last'].map((value) => echo(pair.caller, value))
  const unprepared = t.throwsAsync(control<Served>(pair.caller).count(1), { message: 'a careless preparation' })
  const throwing = { target: '', method: 'echo', args: encode([1], 'arguments', false) }
  pair.caller.request(throwing, {
    result() {
      throw new Error('a careless answer')
    },
    failure() {},
    item() {},
    end() {},
    lost() {},
  })
  const after = echo(pair.caller, 'after')
  await pair.carry()
  t.not(first!(), 'pending')
  t.regex(String((bad!() as { error: Error }).error), /a careless handler/)
  t.deepEqual(last!(), { value: 'last' })
  t.deepEqual(after(), { value: 'after' })
  await unprepared
})
