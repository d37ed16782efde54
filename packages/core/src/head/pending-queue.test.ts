import test from 'ava'
import { TroupeError } from '../common/errors.js'
import { PendingQueue } from './pending-queue.js'
import { ResourcePool } from './resource-pool.js'

test('a demand that is dropped fails at once, and what it kept from others is theirs', async (t) => {
  const line = new PendingQueue(() => {})
  const pool = new ResourcePool({ cpu: 2 })
  const held = pool.take({ cpu: 1 })!
  const wait = (owner: string, cpu: number) => {
    const waiter = { what: owner, owner, resources: { cpu } }
    return line.wait(waiter, false, {
      attempt: (place) => (line.keeps(pool, waiter, place) ? undefined : pool.take({ cpu })),
      missing: () => '',
      wanted: () => [pool],
    })
  }
  const large = wait('large', 2)
  line.attempt()
  t.false(line.keeps(pool, { what: 'new', resources: { cpu: 1 } }), 'others may pass at first')
  await new Promise((resolve) => setTimeout(resolve, 1010))
  t.true(line.keeps(pool, { what: 'new', resources: { cpu: 1 } }), 'and then no more')
  t.false(line.keeps(pool, { what: 'new', resources: { licence: 1 } }), 'unless they need something else')
  t.false(line.keeps(pool, { what: 'child', resources: { cpu: 1 }, isNested: true }))
  const small = wait('small', 1)
  line.attempt()
  line.drop(({ owner }) => owner === 'large')
  await t.throwsAsync(() => large, { instanceOf: TroupeError, message: /large is not waited for/ })
  t.is((await small).resources.cpu, 1)
  pool.give(held)
})
