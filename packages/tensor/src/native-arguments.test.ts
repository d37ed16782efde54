import * as native from '@troupe/native'
import test from 'ava'

/** Values that are none of what the addon takes. */
const NONSENSE: unknown[] = [
  undefined,
  null,
  true,
  'text',
  Symbol.iterator,
  10n,
  Number.NaN,
  Number.POSITIVE_INFINITY,
  -1,
  0.5,
  2 ** 31,
  2 ** 53,
  1e300,
  [],
  {},
  [{}],
  () => 1,
  new Float64Array(3),
  new DataView(new ArrayBuffer(4)),
  structuredClone(new Uint8Array(8)),
]

/** Nonsense of each class of the addon's. */
function objects(): unknown[] {
  const waker = new native.Waker()
  const writer = new native.ChannelWriter({ messages: 2, bytes: 4096, readers: 2 }, waker)
  const reader = new native.ChannelReader(writer.handle, 0, waker)
  const storage = new native.Storage(64, true)
  const store = new native.Store({ memoryBytes: 1 << 21, diskBytes: 0, spillFolder: '/tmp' })
  const released = new native.Storage(8, false)
  released.release()
  const group = new native.Communicator({ rank: 0, size: 2, name: 'pair', node: 'a', token: 't' })
  return [
    waker,
    writer,
    reader,
    storage,
    store,
    released,
    group,
    new native.RingPoller(),
    new native.ChannelSet([reader]),
  ]
}

type Callable = (...args: unknown[]) => unknown

async function outcome(call: () => unknown): Promise<void> {
  try {
    await call()
  } catch (error) {
    if (!(error instanceof Error)) throw error
  }
}

/** What ends or holds up the process as it should, or waits as long as it is told. */
const LEFT_OUT = new Set([
  'constructor',
  'dieWithParent',
  'wait',
  'poll',
  'peek',
  'takeScalar',
  'readRate',
  'addTime',
  'pageCosts',
  'multiplyAddRate',
])

test('whatever JavaScript passes to native code gives a result or an error', async (t) => {
  const found = objects()
  const handles = found.map((each) => (each as { handle?: unknown }).handle).filter(Boolean)
  const detached = new Uint8Array(16)
  structuredClone(detached, { transfer: [detached.buffer] })
  const values = [...NONSENSE, ...found, ...handles, detached]
  for (const [name, exported] of Object.entries(
    native as unknown as Record<string, Callable & { prototype?: object }>,
  )) {
    if (LEFT_OUT.has(name)) continue
    for (const value of values) {
      for (const second of [undefined, value, 8, {}]) {
        if (/^[A-Z]/.test(name)) await outcome(() => Reflect.construct(exported as never, [value, second, second]))
        else await outcome(() => exported(value, second))
      }
    }
  }
  for (const object of found) {
    const prototype = Object.getPrototypeOf(object) as object
    for (const name of Object.getOwnPropertyNames(prototype)) {
      if (LEFT_OUT.has(name)) continue
      const method: unknown = Object.getOwnPropertyDescriptor(prototype, name)?.value
      if (typeof method !== 'function' || name === 'close' || name === 'abort' || name === 'release') continue
      for (const value of values) {
        for (const second of [undefined, value, 3])
          await outcome(() => (method as Callable).call(object, value, second, second))
        await outcome(() => (method as Callable).call(value, value))
      }
    }
  }
  t.pass('the process is there')
})

test('a handle of other shared memory is no channel and no store, and sizes beyond memory are errors', (t) => {
  const waker = new native.Waker()
  for (const bytes of [0, 8, 4096, 1 << 20]) {
    const { handle } = new native.Storage(bytes, true)
    t.throws(() => new native.ChannelReader(handle!, 0, waker), { message: /is no channel|cannot|gone/ })
    t.throws(() => new native.Store({ ...handle!, spillFd: -1 }), { message: /is no object store|gone/ })
  }
  t.throws(() => new native.Storage(2 ** 49, false))
  t.throws(() => new native.Storage(-1, true), { instanceOf: RangeError, message: /bytes: expected a whole number/ })
  const region = { storage: new native.Storage(8, true), offset: 4, bytes: 8 }
  t.throws(() => native.copyBytes(region, region), { instanceOf: RangeError })
})

function region(bytes: number): native.Region {
  return { storage: new native.Storage(bytes, false), offset: 0, bytes }
}

test('a collective whose memory is not of its sizes, or whose group was not connected, is refused', async (t) => {
  const groups = [0, 1].map((rank) => new native.Communicator({ rank, size: 2, name: 'pair', node: 'a', token: 't' }))
  const [first] = groups as [native.Communicator, native.Communicator]
  const request = { kind: 'allReduce', type: 'float32', input: region(16), output: region(16) } as const
  await t.throwsAsync(first.run([request]), { message: /was not connected/ })
  const addresses = groups.map(({ address }) => address)
  await t.throwsAsync(first.connect([addresses[0]!]), { message: /expected the addresses of 2 ranks/ })
  await t.throwsAsync(first.connect([addresses[1]!, addresses[0]!]), { message: /expected the address of rank 0/ })
  await Promise.all(groups.map((group) => group.connect(addresses)))
  const bad: native.CollectiveRequest[] = [
    { ...request, output: region(8) },
    { kind: 'allGather', type: 'uint8', sizes: [4, 400], input: region(4), output: region(8) },
    { kind: 'allGather', type: 'uint8', sizes: [4], input: region(4), output: region(8) },
    { kind: 'scatter', type: 'uint8', sizes: [4, 4], root: 7, input: region(8), output: region(4) },
    { kind: 'send', type: 'uint8', peer: 2, input: region(8) },
  ]
  for (const each of bad) await t.throwsAsync(first.run([each]), { message: /^group 'pair', \w+: expected/ })
  for (const options of [
    { encrypt: 'false' },
    { spin: 1 },
    { timeout: '5000' },
    { timeout: Number.NaN },
    { messageBytes: 1000 },
    { labels: 'ab' },
    { labels: [1] },
    { token: 7 },
    { host: null },
    { name: Symbol.iterator },
  ]) {
    const all = { rank: 0, size: 2, name: 'pair', node: 'a', token: 't', ...options } as never
    t.throws(() => new native.Communicator(all), { message: /: expected / }, Object.keys(options)[0]!)
  }
  for (const field of ['root', 'peer', 'sizes', 'receiveSizes', 'input', 'output']) {
    for (const value of ['1', null, true]) {
      t.throws(() => first.run([{ ...request, [field]: value } as never]), { message: /expected/ }, field)
    }
  }
  t.throws(() => first.run([{ ...request, input: new Float32Array(4) as never }]), { message: /expected/ })
  await Promise.all(groups.map((group) => group.run([request])))
})

test('a damaged description of a program is refused', (t) => {
  const storage = new native.Storage(64, false)
  const value = { type: 'float32', symbol: 0, rows: 2, columns: 4, offset: 0 } as const
  const sound = (): native.ProgramDescription => ({
    symbols: [{ name: 'rows', limit: 2 }],
    values: [{ ...value }, { ...value, offset: 64 }, { ...value, offset: 128 }],
    arenaBytes: 192,
    operations: [{ name: 'add', inputs: [0, 1], outputs: [2], numbers: {}, group: -1 }],
    groups: [],
  })
  t.notThrows(() => new native.Program(sound(), 1))
  const damages: ((description: native.ProgramDescription) => unknown)[] = [
    (it) => (it.values[2]!.offset = 192),
    (it) => (it.values[2]!.offset = 130),
    (it) => (it.values[2]!.offset = -64),
    (it) => (it.values[2]!.offset = 2 ** 49),
    (it) => (it.values[1]!.rows = 1),
    (it) => (it.values[1]!.symbol = 1),
    (it) => (it.values[1]!.columns = 0),
    (it) => (it.values[1]!.columns = 2 ** 31 - 1),
    (it) => (it.values[1]!.type = 'q8_0'),
    (it) => (it.values[1]!.type = 'int64' as never),
    (it) => (it.values[1]!.storage = {} as never),
    (it) => Object.assign(it.values[1]!, { storage, offset: 48 }),
    (it) => (it.arenaBytes = 100),
    (it) => (it.symbols[0]!.limit = 3),
    (it) => (it.symbols = []),
    (it) => (it.operations[0]!.inputs = [0]),
    (it) => (it.operations[0]!.inputs = [0, 3]),
    (it) => (it.operations[0]!.outputs = []),
    (it) => (it.operations[0]!.name = 'allReduce'),
    (it) => (it.operations[0]!.name = 'toString'),
    (it) => (it.operations[0]!.group = 0),
    (it) => (it.groups = [{} as never]),
  ]
  for (const damage of damages) {
    const description = sound()
    damage(description)
    t.throws(() => new native.Program(description, 1), undefined, damage.toString())
  }
  for (const threads of [0, -1, Number.NaN, 1e9]) t.throws(() => new native.Program(sound(), threads))
})
