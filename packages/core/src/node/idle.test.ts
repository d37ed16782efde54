import { readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import test from 'ava'
import { RemoteCounter } from '../testing/counter.js'
import { processesOf } from '../testing/leftovers.js'
import { useCluster } from '../testing/use-cluster.js'

const cluster = useCluster(test)

/** Milliseconds that the processes are watched. */
const WATCHED = 3000
/** Times that they are, until they are idle. */
const MOST_WATCHES = 5
/** The kernel's unit of processor time, in milliseconds. */
const TICK = 10

/** Milliseconds of processor time that a process has used. */
function used(pid: number): number {
  const [, fields] = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')
  const [user, system] = fields!.split(' ').slice(11, 13).map(Number)
  return (user! + system!) * TICK
}

test('eight actors that have nothing to do use less than a hundredth of a core, just after they had much to do', async (t) => {
  const counters = await Promise.all(Array.from({ length: 8 }, () => RemoteCounter.spawn()))
  for (let call = 0; call < 200; call++) await Promise.all(counters.map((counter) => counter.add(1)))
  const processes = processesOf(cluster().id)
  const total = () => processes.reduce((sum, pid) => sum + used(pid), 0)
  let idle = Number.POSITIVE_INFINITY
  // What starting them has left to do, compiling and collecting, takes long on a busy machine.
  for (let left = MOST_WATCHES; left > 0 && idle >= WATCHED / 100; left--) {
    const before = total()
    await delay(WATCHED)
    idle = total() - before
  }
  t.true(processes.length > 8)
  t.true(idle < WATCHED / 100, `${idle} ms of processor time in ${WATCHED} ms`)
})
