import { readFileSync } from 'node:fs'
import test from 'ava'
import { Coverage, RemoteCallee } from '../testing/coverage.js'
import { useCluster } from '../testing/use-cluster.js'
import { Peer } from '../transport/peer.js'

const page = readFileSync(new URL('../../../../docs/architecture.md', import.meta.url), 'utf8')
const [, way] = /## A call\n([\s\S]*?)\n## /.exec(page)!

/** The files that the page lists for one direction, in order. */
function listed(direction: 'Out' | 'In'): string[] {
  const list = way!.split(`\n${direction}:\n`)[1]!.split('\n\n')[0]!
  return [...list.matchAll(/^\d+\. `([\w/.-]+)`/gm)].map(([, file]) => file!)
}

useCluster(test)

test.serial('a call passes the files that the page on architecture lists, ten at most in each direction', async (t) => {
  const callee = await RemoteCallee.spawn()
  for (let i = 0; i < 20; i++) await callee.nothing()
  const coverage = new Coverage()
  await coverage.start()
  const call = callee.nothing()
  await new Promise<void>((resolve) => process.nextTick(resolve))
  const out = await coverage.look()
  coverage.stop()
  await call
  await callee.begin()
  await callee.passed()
  const inwards = await callee.passed()
  t.deepEqual(out.toSorted(), listed('Out').toSorted())
  t.deepEqual(inwards.toSorted(), listed('In').toSorted())
  t.true(out.length <= 10 && inwards.length <= 10)
})

test.serial(
  'the first call of a handle sends one message: of the actor the head tells since the handle came',
  async (t) => {
    const owner = await RemoteCallee.spawn()
    const sent: string[] = []
    const { request, notify } = Peer.prototype
    t.teardown(() => Object.assign(Peer.prototype, { request, notify }))
    Object.assign(Peer.prototype, {
      request(this: Peer, ...args: Parameters<Peer['request']>) {
        sent.push(args[0].method)
        return request.apply(this, args)
      },
      notify(this: Peer, ...args: Parameters<Peer['notify']>) {
        sent.push(args[0])
        return notify.apply(this, args)
      },
    })
    const other = await owner.other()
    t.deepEqual(sent.splice(0), ['other', 'watch'])
    await other.nothing()
    t.deepEqual(sent, ['nothing'])
  },
)
