import { Tensor } from '@troupe/tensor'
import test from 'ava'
import { ActorDiedError, connect, describeActor, InvalidInputError, put } from '../index.js'
import { nodeStore } from '../store/store.js'
import { TestCluster } from '../testing/index.js'
import { Lease, RemoteTenant } from '../testing/lease.js'
import { logOf } from '../testing/log-lines.js'
import { placeOf, RemoteReader } from '../testing/reader.js'

/** How many objects of the node's store this process has a part in. */
function stored(): number {
  return nodeStore()!.usage.find(({ pid }) => pid === process.pid)?.objects ?? 0
}

/** How many objects are stored while a function runs. */
function madeBy(run: () => void): number {
  const before = stored()
  run()
  return stored() - before
}

const MEMBERS = 4
const ELEMENTS = 4 * 2 ** 20

test.serial('a tensor for all members of a node is copied once, or never where it is in shared memory', async (t) => {
  await using _cluster = await connect({ onLog: logOf(t) })
  const mesh = await RemoteReader.spawnMesh({ row: 2, column: MEMBERS / 2 })
  await mesh.call('seen')
  for (const memory of ['private', 'shared'] as const) {
    const tensor = Tensor.from('float32', [ELEMENTS], new Float32Array(ELEMENTS).fill(1), { memory })
    const copies = madeBy(() => mesh.broadcast('see', tensor))
    tensor.data[0] = 1001
    t.is(copies, memory === 'private' ? 1 : 0)
    const seen = (await mesh.call('seen')).map(({ value }) => value.at(-1)!)
    const names = new Set(seen.map((one) => one.memory))
    t.is(names.size, 1, 'all map the same memory')
    t.is(names.has(placeOf(tensor)), memory === 'shared')
    if (memory === 'private')
      t.true(
        seen.every(({ sum }) => sum === ELEMENTS),
        'as it was when the call was made',
      )
  }
  const tensor = Tensor.from('float32', [2], [1, 2], { memory: 'private' })
  let answers: Promise<{ value: { sum: number } }[]> | undefined
  const copies = madeBy(() => {
    answers = mesh.slice({ row: 1 }).call('see', tensor, { by: 10 })
  })
  t.is(copies, 1)
  t.deepEqual(
    (await answers!).map(({ value }) => value.sum),
    [30, 30],
  )
})

test.serial(
  'what the arguments of a call on a mesh pin is pinned once, until the last member has them or has died',
  async (t) => {
    await using _cluster = await connect({ onLog: logOf(t) })
    const mesh = await RemoteTenant.spawnMesh({ member: 3 })
    let released = 0
    const leaseOf = (text: string) =>
      new Promise<void>((resolve) => {
        const lease = new Lease(text, () => {
          released += 1
          resolve()
        })
        mesh.broadcast('take', lease)
      })
    await leaseOf('for three')
    await mesh.call('take', new Lease('after it'))
    t.is(released, 1, 'it was encoded once')

    const blocked = mesh.at({ member: 2 })
    void blocked.block(60_000)
    let isReleased = false
    const late = leaseOf('held up').then(() => {
      isReleased = true
    })
    await mesh.at({ member: 0 }).take(new Lease('the others have it'))
    await mesh.at({ member: 1 }).take(new Lease('the others have it'))
    t.false(isReleased)
    process.kill(describeActor(blocked).pid, 'SIGKILL')
    await late
    t.is(released, 2)
    await t.throwsAsync(() => mesh.call('take', new Lease('for the dead')), { instanceOf: ActorDiedError })
  },
)

test.serial('arguments of a call on a mesh arrive as those of any call do, on every node', async (t) => {
  await using _started = await TestCluster.start([{}, {}])
  const mesh = await RemoteReader.spawnMesh({ member: 4 })
  t.is(new Set(mesh.members.map(({ handle }) => describeActor(handle).nodeId)).size, 2)
  const tensor = Tensor.from('float32', [3], [1, 2, 3])
  const sums = async (call: Promise<{ value: { sum: number } }[]>) => (await call).map(({ value }) => value.sum)
  t.deepEqual(await sums(mesh.call('see', tensor)), [6, 6, 6, 6])
  t.deepEqual(await sums(mesh.call('see', put(tensor), { by: 2 })), [12, 12, 12, 12], 'a ref arrives as its value')
  const values = Array.from({ length: 5000 }, (_, index) => index)
  const box = { values, again: values, ref: put(7) }
  const total = values.reduce((sum, value) => sum + value, 7)
  t.deepEqual(
    (await mesh.call('sumOf', box)).map(({ value }) => value),
    [total, total, total, total],
  )
  const unsendable = { by: () => 1 } as unknown as { by: number }
  await t.throwsAsync(() => mesh.call('see', tensor, unsendable), {
    instanceOf: InvalidInputError,
    message: /argument 2: \.by is a function and cannot be sent/,
  })
})
