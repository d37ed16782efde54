import test from 'ava'
import { ActorDiedError, describeActor } from '../index.js'
import { RemoteCounter } from '../testing/counter.js'
import { Lease, RemoteTenant } from '../testing/lease.js'
import { useCluster } from '../testing/use-cluster.js'

useCluster(test)

/** A lease, and a promise of its release. */
function leaseOf(text: string): { lease: Lease; released: Promise<void>; count: () => number } {
  let count = 0
  let resolve!: () => void
  const released = new Promise<void>((done) => {
    resolve = done
  })
  const lease = new Lease(text, () => {
    count++
    resolve()
  })
  return { lease, released, count: () => count }
}

test('a pinned value is released once, when the receiver has decoded it', async (t) => {
  const tenant = await RemoteTenant.spawn()
  const { lease, released, count } = leaseOf('flat')
  t.is(await tenant.take(lease), 'flat')
  await released
  t.is(await tenant.take(new Lease('other')), 'other')
  t.is(count(), 1)
})

test('a pinned value that the receiver cannot decode is released, and the call fails', async (t) => {
  const tenant = await RemoteTenant.spawn()
  const { lease, released } = leaseOf('unreadable')
  await t.throwsAsync(async () => await tenant.take(lease), { instanceOf: RangeError, message: /cannot be read/ })
  await released
  t.pass()
})

test('a pinned value is released when its receiver dies', async (t) => {
  const tenant = await RemoteTenant.spawn()
  const { lease, released } = leaseOf('held')
  void tenant.block(60_000)
  const pending = tenant.take(lease)
  process.kill(describeActor(tenant).pid, 'SIGKILL')
  await released
  await t.throwsAsync(async () => await pending, { instanceOf: ActorDiedError })
})

test('a pinned value is released when its call waits for a ref that fails', async (t) => {
  const [tenant, counter] = [await RemoteTenant.spawn(), await RemoteCounter.spawn()]
  const { lease, released } = leaseOf('waiting')
  const failing = (counter as unknown as { nothing(): Promise<never> }).nothing()
  const take = tenant.take as (...args: unknown[]) => Promise<string>
  await t.throwsAsync(async () => await take(lease, failing), { message: /has no method named nothing/ })
  await released
  t.pass()
})

test('a call to a dead actor releases what it had pinned', async (t) => {
  const tenant = await RemoteTenant.spawn()
  const pending = tenant.block(60_000)
  process.kill(describeActor(tenant).pid, 'SIGKILL')
  await t.throwsAsync(async () => await pending, { instanceOf: ActorDiedError })
  const { lease, count } = leaseOf('late')
  await t.throwsAsync(async () => await tenant.take(lease), { instanceOf: ActorDiedError })
  t.is(count(), 0, 'it was never pinned')
})
