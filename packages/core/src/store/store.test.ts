import { Tensor } from '@troupe/tensor'
import test from 'ava'
import { collectGarbage } from '../common/collect-garbage.js'
import {
  ActorDiedError,
  describeActor,
  InvalidInputError,
  ObjectLostError,
  type ObjectRef,
  put,
  StoreFullError,
  wait,
} from '../index.js'
import { crashActor } from '../testing/index.js'
import { RemoteKeeper } from '../testing/keeper.js'
import { until } from '../testing/until.js'
import { useCluster } from '../testing/use-cluster.js'
import { makeStore, nodeStore } from './store.js'

const MEBIBYTE = 2 ** 20

useCluster(test, { store: { memory: 16 * MEBIBYTE, disk: 24 * MEBIBYTE } })

const filled = (bytes: number, content: number) => new Uint8Array(bytes).fill(content)

/** Waits until the store has that many bytes free: collected values are given back a little later. */
async function untilFree(bytes: number): Promise<void> {
  collectGarbage()
  await until(() => nodeStore()!.freeBytes >= bytes)
}

test.serial('what is got is mapped in place, by every process of the node', async (t) => {
  const keeper = await RemoteKeeper.spawn()
  const source = filled(MEBIBYTE, 5)
  const ref = put({ source, note: 'x' })
  source.fill(0)
  const first = await ref
  t.is(first.source[9], 5)
  t.is((await ref).source, first.source)
  await keeper.write(first.source)
  t.is(first.source[0], 77)
  const made = await keeper.make(MEBIBYTE, 3)
  t.is((await made.ref).at(-1), 3)
  ref.release()
  await t.throwsAsync(
    (async () => {
      const other = put(filled(MEBIBYTE, 1))
      other.release()
      await other
    })(),
    { instanceOf: ObjectLostError },
  )
})

test.serial('more than the memory holds is spilled, and read back intact when it is got', async (t) => {
  await untilFree(12 * MEBIBYTE)
  const refs = Array.from({ length: 32 }, (_, index) => put(filled(MEBIBYTE, index)))
  t.true(nodeStore()!.spilledBytes > 0)
  const keeper = await RemoteKeeper.spawn()
  for (const [index, ref] of refs.entries()) {
    t.is(await keeper.last(ref), index)
    const bytes = await ref
    t.true(bytes.every((byte) => byte === index))
  }
  for (const ref of refs) ref.release()
})

test.serial(
  'a put into a store that is full on disk too waits for room until its deadline, and then says what holds the memory',
  async (t) => {
    const refs: ObjectRef<Uint8Array>[] = []
    // Each has its outcome before the next is put; the store takes no more than twenty.
    for (let index = 0; index < 21; index++) {
      refs.push(put(filled(2 * MEBIBYTE, index), { deadline: 60 }))
      await wait([refs[index] as ObjectRef<unknown>])
    }
    const error = await t.throwsAsync(Promise.resolve(refs[20]), { instanceOf: StoreFullError })
    t.regex(
      error.message,
      /^the object store has no room for 2 MiB: of 16 MiB, .* are spilled to disk; process \d+ holds \d+ objects/,
    )
    const late = put(filled(2 * MEBIBYTE, 99), { deadline: 60_000 })
    setTimeout(() => {
      for (const ref of refs) ref.release()
    }, 30)
    t.is((await late)[0], 99)
    late.release()
  },
)

test.serial('room that idle processes hold for values they use no more is found before a put fails', async (t) => {
  const process = await RemoteKeeper.spawn()
  const thread = await RemoteKeeper.options({ isolation: 'thread' }).spawn()
  const users = {
    'another process': (ref: ObjectRef<Uint8Array>) => process.last(ref),
    'a thread': (ref: ObjectRef<Uint8Array>) => thread.last(ref),
    'the process that puts': async (ref: ObjectRef<Uint8Array>) => (await ref).at(-1)!,
    'a process that was given a ref': (ref: ObjectRef<Uint8Array>) => process.lastOf({ ref }),
  }
  for (const [user, use] of Object.entries(users)) {
    for (let index = 0; index < 16; index++) {
      const ref = put(filled(2 * MEBIBYTE, index), { deadline: 60_000 })
      t.is(await use(ref), index, user)
      ref.release()
    }
  }
})

test.serial('what a killed process held is free again', async (t) => {
  await untilFree(8 * MEBIBYTE)
  const keeper = await RemoteKeeper.spawn()
  const { pid } = describeActor(keeper)
  const held = () => nodeStore()!.usage.find((usage) => usage.pid === pid)?.bytes ?? 0
  for (let index = 0; index < 4; index++) {
    const ref = put(filled(MEBIBYTE, index))
    await keeper.keepRef({ ref })
    ref.release()
  }
  t.true(held() >= 4 * MEBIBYTE)
  crashActor(keeper)
  await t.throwsAsync(async () => await keeper.make(1, 1), { instanceOf: ActorDiedError })
  t.is(await until(held, (bytes) => bytes === 0), 0)
})

test.serial('tensors lie in the store, and those that do not fit have memory of their own', async (t) => {
  const keeper = await RemoteKeeper.spawn()
  await untilFree(MEBIBYTE)
  const tensor = Tensor.from('float32', [3], [1, 2, 3])
  t.truthy(tensor.handle?.memory.stored)
  const huge = Tensor.zeros('uint8', [40 * MEBIBYTE])
  t.is(huge.handle?.memory.stored, undefined)
  t.is(await keeper.keep([tensor, huge]), 1)
  const ref = put({ tensor })
  ;(await ref).tensor.data[0] = 9
  t.is(tensor.data[0], 9)
})

test.serial('options that no store can be made of are refused', (t) => {
  t.throws(() => makeStore({ memory: -1 }), {
    instanceOf: InvalidInputError,
    message: /memory of the store must be a number of bytes/,
  })
  t.throws(() => makeStore({ memory: MEBIBYTE, folder: '/nowhere' }), {
    instanceOf: InvalidInputError,
    message: /spill file in \/nowhere/,
  })
})
