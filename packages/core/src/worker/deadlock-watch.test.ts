import test from 'ava'
import { DeadlineExceededError, DeadlockError, type Handle, type SpawnOptions, withOptions } from '../index.js'
import { type Player, RemotePlayer } from '../testing/outcomes.js'
import { useCluster } from '../testing/use-cluster.js'

useCluster(test)

/** Actors that call each other in a circle. */
async function ring(size: number, options: SpawnOptions<Player> = {}): Promise<Handle<Player>[]> {
  const players = await Promise.all(Array.from({ length: size }, () => RemotePlayer.options(options).spawn()))
  await Promise.all(players.map((player, index) => player.set(players[(index + 1) % size]!)))
  return players
}

test('a call that its own actor awaits, through others or none, fails with the circle, and the actors go on', async (t) => {
  for (const isolation of ['process', 'thread', 'local'] as const) {
    for (const size of isolation === 'process' ? [1, 2, 3] : [2]) {
      const players = await ring(size, { isolation })
      const error = (await t.throwsAsync(async () => await players[0]!.ping(size), {
        instanceOf: DeadlockError,
      }))!
      const name = 'Player#\\d+\\.ping'
      t.regex(error.message, new RegExp(`^${name}( waits for ${name})${`, which waits for ${name}`.repeat(size - 1)},`))
      t.is(error.calls.length, size + 1)
      t.is(error.calls[0], error.calls.at(-1))
      t.is(await players[0]!.ping(0), 'end')
    }
  }
})

test('circles of two calls, through a task and through a stream are found as well', async (t) => {
  const [first, second] = await ring(2)
  const both = await Promise.allSettled([first!.pingLater(['', '']), second!.pingLater(['', ''])])
  t.true(both.some((outcome) => outcome.status === 'rejected' && outcome.reason instanceof DeadlockError))
  const [alone] = await ring(1)
  await t.throwsAsync(async () => await alone!.pingByTask(), {
    instanceOf: DeadlockError,
    message: /ping waits|which waits/,
  })
  await t.throwsAsync(async () => await first!.readAll(), { instanceOf: DeadlockError })
  t.is(await first!.ping(1), 'end')
})

test('calls that can go on are no circle: with room, in another group, or not awaited', async (t) => {
  const room = await ring(2, { maxConcurrency: 3 })
  t.is(await room[0]!.ping(4), 'end')
  const full = await ring(2, { maxConcurrency: 2 })
  await t.throwsAsync(async () => await full[0]!.ping(4), { instanceOf: DeadlockError })
  const groups = await ring(2, { concurrencyGroups: { listen: { limit: 1, methods: ['hear'] } } })
  await groups[0]!.relay('a')
  await groups[1]!.answer('b')
  const [first, second] = await ring(2)
  // Longer than it takes to look twice.
  t.is(await first!.takeTime(4000), 'done')
  await second!.ping(0)
  t.deepEqual([...(await first!.all())].sort(), ['catch', 'then', 'void'])
})

test('a deadline frees the actors whose calls wait for others, and cancelling a call those that it awaits', async (t) => {
  const [first] = await ring(2)
  for (let round = 0; round < 2; round++) {
    const call = withOptions(first!, { deadline: 100 }).waitForNever()
    await t.throwsAsync(async () => await call, { instanceOf: DeadlineExceededError })
    t.deepEqual(await first!.all(), [])
  }
})
