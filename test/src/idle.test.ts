import { readdirSync, readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { connect, describeActor } from '@troupe/core'
import { Engine } from '@troupe/llm'
import test from 'ava'
import { RemoteMember } from './support/member.js'
import { tales } from './support/models.js'
import { ProcessGuard } from './support/processes.js'

/** Milliseconds that the processes are watched. */
const WATCHED = 2000
/** Times that they are, until they are idle: what starting them has left to do takes long on a busy machine. */
const MOST_WATCHES = 8

/** Milliseconds of processor time that the threads of a process have used. */
function used(pid: number): number {
  const threads = readdirSync(`/proc/${pid}/task`)
  return threads.reduce((sum, thread) => {
    return sum + Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'latin1').split(' ')[0]) / 1e6
  }, 0)
}

/** The least share of a core that processes used together in a while of watching. */
async function leastUse(pids: readonly number[], enough: number): Promise<number> {
  const total = () => pids.reduce((sum, pid) => sum + used(pid), 0)
  let least = Number.POSITIVE_INFINITY
  for (let left = MOST_WATCHES; left > 0 && least >= enough; left--) {
    const before = total()
    await delay(WATCHED)
    least = Math.min(least, (total() - before) / WATCHED)
  }
  return least
}

test.serial(
  'three ranks that wait for a fourth, which does not come, use less than a hundredth of a core',
  async (t) => {
    new ProcessGuard(t)
    const cluster = await connect()
    const mesh = await RemoteMember.spawnMesh({ rank: 4 })
    await mesh.call('join', mesh.communicator('rank'))
    const [late, ...early] = mesh.members
    const waiting = Promise.all(early.map(({ handle, rank }) => handle.reduce(10 ** rank)))
    const use = await leastUse(
      early.map(({ handle }) => describeActor(handle).pid!),
      0.01,
    )
    t.true(use < 0.01, `${use} of a core`)
    const sums = [await late!.handle.reduce(1), ...(await waiting)]
    t.deepEqual(
      sums.map(([sum]) => sum),
      [1111, 1111, 1111, 1111],
    )
    await cluster.shutdown()
  },
)

test.serial(
  'an engine of four workers that has answered, and has nothing to do, uses less than a hundredth of a core',
  async (t) => {
    new ProcessGuard(t)
    await using cluster = await connect()
    for (const plan of [{ tensor: 4 }, { pipeline: 2, sequence: 2 }]) {
      const engine = await Engine.start(cluster, { model: tales, plan })
      const tokens: number[] = []
      for await (const { token } of engine.generate([1, 40, 50], { maxTokens: 8, stopAtEnd: false })) tokens.push(token)
      t.is(tokens.length, 8)
      const use = await leastUse(
        engine.workers.map(({ pid }) => pid),
        0.01,
      )
      t.true(use < 0.01, `${JSON.stringify(plan)}: ${use} of a core`)
      await engine.stop()
    }
  },
)
