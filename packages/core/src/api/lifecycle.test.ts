import test from 'ava'
import { ActorDiedError, InvalidInputError, QueueFullError } from '../common/errors.js'
import { RemoteCounter } from '../testing/counter.js'
import { Notes } from '../testing/notes.js'
import { RemotePhoenix } from '../testing/phoenix.js'
import { RemoteProbe } from '../testing/probe.js'
import { until } from '../testing/until.js'
import { useCluster } from '../testing/use-cluster.js'
import { describeActor, killActor, stopActor, withOptions } from './handle.js'

useCluster(test)

test('an actor with restarts comes back after kill -9, and calls made meanwhile wait for it', async (t) => {
  const notes = new Notes()
  const actor = await RemotePhoenix.options({ maxRestarts: 1 }).spawn(notes.path, 'born')
  const { pid, id } = describeActor(actor)
  const lost = actor.untilCancelled('lost')
  await notes.include('lost began')
  process.kill(pid, 'SIGKILL')
  await t.throwsAsync(() => lost, { instanceOf: ActorDiedError, message: /killed by SIGKILL/ })
  t.not(await actor.pid(), pid)
  t.is(describeActor(actor).id, id)
  t.regex((await actor.reason())!, /killed by SIGKILL/)
  t.deepEqual(notes.lines(), ['born', 'onStart', 'lost began', 'born', 'onStart', 'onRestart 1'])

  process.kill(describeActor(actor).pid, 'SIGKILL')
  await t.throwsAsync(async () => await actor.untilCancelled('after the last restart'), { instanceOf: ActorDiedError })
})

test('a call that was lost with its actor is made again only where retries were asked for', async (t) => {
  const notes = new Notes()
  const actor = await RemotePhoenix.options({ maxRestarts: 2, maxTaskRetries: 1 }).spawn(notes.path)
  const order = [actor.dieOnce('first'), actor.note('second'), actor.note('third')] as const
  t.is(typeof (await order[0]), 'number')
  t.deepEqual(await Promise.all([order[1], order[2]]), ['second', 'third'])
  const ran = notes.lines().filter((line) => /first|second|third/.test(line))
  t.deepEqual(ran, ['first', 'first', 'second', 'third'], 'in order, and the others once')

  const once = await RemotePhoenix.options({ maxRestarts: 1 }).spawn(notes.path)
  await t.throwsAsync(async () => await once.dieOnce('once'), { instanceOf: ActorDiedError, message: /code 9/ })
  t.is(notes.lines().filter((line) => line === 'once').length, 1)
  t.is(typeof (await withOptions(once, { maxRetries: 0 }).pid()), 'number')
})

test('a handle that another actor got before a restart finds the actor after it', async (t) => {
  const [holder, actor] = await Promise.all([RemoteProbe.spawn(), RemoteCounter.options({ maxRestarts: 1 }).spawn(7)])
  await holder.see(actor)
  const { pid } = describeActor(actor)
  process.kill(pid, 'SIGKILL')
  t.is(await withOptions(actor, { maxRetries: 1 }).add(0), 7)
  t.not(describeActor(actor).pid, pid)
  t.is(await holder.addThroughSeen(1), 8)
})

test('the error of a dead actor has its cause and the last lines of its stderr', async (t) => {
  const actor = await RemotePhoenix.spawn(new Notes().path)
  const error = await t.throwsAsync<ActorDiedError>(async () => await actor.crash('near the edge'), {
    instanceOf: ActorDiedError,
  })
  t.true(error.lines.includes('near the edge'))
  t.true(error.cause instanceof RangeError)
  t.true((error.cause as Error).cause instanceof TypeError)
})

test('a stopped actor runs onStop after the calls before, a killed one does not', async (t) => {
  const notes = new Notes()
  const [stopped, killed] = [await RemotePhoenix.spawn(notes.path, 'a'), await RemotePhoenix.spawn(notes.path, 'b')]
  void stopped.note('last call')
  await stopActor(stopped)
  t.deepEqual(notes.lines().slice(-2), ['last call', 'onStop'])
  await killActor(killed)
  t.is(notes.lines().filter((line) => line === 'onStop').length, 1)
  const hook = (stopped as unknown as Record<string, () => Promise<void>>).onStop!
  await t.throwsAsync(async () => await hook(), { instanceOf: ActorDiedError })
})

test('async methods interleave up to maxConcurrency, and groups have limits of their own', async (t) => {
  const options = {
    maxConcurrency: 2,
    concurrencyGroups: { control: { limit: 1, methods: ['open', 'waiting'] } },
  } as const
  const actor = await RemotePhoenix.options(options).spawn(new Notes().path)
  const passing = [actor.pass(), actor.pass(), actor.pass()]
  await until(async () => (await actor.waiting()) === 2)
  await actor.open()
  t.is(await passing[0], 2)
  await until(async () => (await actor.waiting()) === 1)
  await actor.open()
  t.is(await passing[2], 2)
})

test('further calls of a caller with too many unanswered ones fail at once', async (t) => {
  const actor = await RemotePhoenix.options({ maxPendingCalls: 3 }).spawn(new Notes().path)
  const calls = Array.from({ length: 5 }, () => actor.pid())
  const outcomes = await Promise.allSettled(calls)
  t.deepEqual(
    outcomes.map(({ status }) => status),
    ['fulfilled', 'fulfilled', 'fulfilled', 'rejected', 'rejected'],
  )
  await t.throwsAsync(() => calls[4]!, { instanceOf: QueueFullError, message: /3 unanswered calls.*maxPendingCalls/ })
  t.is(typeof (await actor.pid()), 'number')
})

test('options out of range are refused by name', (t) => {
  const refused = [
    [{ maxRestarts: -1 }, /maxRestarts must be an integer of at least 0, or Infinity; found -1/],
    [{ maxConcurrency: 0 }, /maxConcurrency must be a positive integer, found 0/],
    [{ concurrencyGroups: { io: { limit: 0, methods: [] } } }, /concurrency group io must be a positive integer/],
    [{ getIfExists: true }, /needs a name/],
  ] as const
  for (const [options, message] of refused) {
    t.throws(() => RemotePhoenix.options(options), { instanceOf: InvalidInputError, message })
  }
  // @ts-expect-error a group names methods of the class
  t.truthy(RemotePhoenix.options({ concurrencyGroups: { io: { limit: 1, methods: ['absent'] } } }))
})
