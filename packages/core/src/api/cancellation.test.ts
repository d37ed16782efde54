import test from 'ava'
import { CancelledError, DeadlineExceededError, InvalidInputError } from '../common/errors.js'
import { Notes } from '../testing/notes.js'
import { RemotePhoenix } from '../testing/phoenix.js'
import { RemoteProbe } from '../testing/probe.js'
import { until } from '../testing/until.js'
import { useCluster } from '../testing/use-cluster.js'
import { withOptions } from './handle.js'

useCluster(test)

test('aborting its signal fails a call, and aborts the signal that the method sees', async (t) => {
  const notes = new Notes()
  const actor = await RemotePhoenix.spawn(notes.path)
  const controller = new AbortController()
  const call = withOptions(actor, { signal: controller.signal }).untilCancelled('call')
  await notes.include('call began')
  controller.abort(new Error('enough'))
  const error = await t.throwsAsync(() => call, { instanceOf: CancelledError })
  t.regex(error!.message, /^Phoenix#\d+\.untilCancelled was cancelled: enough$/)
  await notes.include('call aborted')
})

test('a cancelled call that waits its turn never starts', async (t) => {
  const notes = new Notes()
  const actor = await RemotePhoenix.spawn(notes.path)
  const running = actor.untilCancelled('running')
  const waiting = actor.note('waiting')
  const last = actor.note('last')
  await notes.include('running began')
  waiting.cancel()
  await t.throwsAsync(() => waiting, { instanceOf: CancelledError })
  running.cancel('no longer needed')
  const error = await t.throwsAsync(() => running, { instanceOf: CancelledError })
  t.is(error!.cause, 'no longer needed')
  t.is(await last, 'last')
  t.deepEqual(notes.lines().slice(2), ['running began', 'running aborted', 'last'])
})

test('a call that waits for a ref can be cancelled, and does not hold up those after it', async (t) => {
  const probe = await RemoteProbe.spawn()
  const other = await RemoteProbe.spawn()
  const never = other.never()
  const stuck = probe.echo(never)
  const next = probe.echo('next')
  stuck.cancel()
  await t.throwsAsync(() => stuck, { instanceOf: CancelledError })
  t.is(await next, 'next')
})

test('a call that is not answered within its deadline fails, and its method is told', async (t) => {
  const notes = new Notes()
  const actor = await RemotePhoenix.spawn(notes.path)
  const call = withOptions(actor, { deadline: 300 }).untilCancelled('late')
  await t.throwsAsync(() => call, { instanceOf: DeadlineExceededError, message: /not answered within 300 ms/ })
  t.is(await actor.note('next'), 'next')
})

test('a signal that is aborted already fails the call before it is sent', async (t) => {
  const notes = new Notes()
  const actor = await RemotePhoenix.spawn(notes.path)
  const aborted = withOptions(actor, { signal: AbortSignal.abort() })
  await t.throwsAsync(async () => await aborted.note('unsent'), { instanceOf: CancelledError })
  t.is(await actor.note('sent'), 'sent')
  t.false(notes.lines().includes('unsent'))
})

test('cancelling what has been answered changes nothing', async (t) => {
  const actor = await RemotePhoenix.spawn(new Notes().path)
  const call = actor.note('done')
  await call
  call.cancel()
  t.is(await call, 'done')
})

test('a signal cancels a stream, and stops its producer', async (t) => {
  const probe = await RemoteProbe.spawn()
  const controller = new AbortController()
  const read = async () => {
    for await (const item of withOptions(probe, { signal: controller.signal }).produce(1_000_000)) {
      if (item === 10) controller.abort()
    }
  }
  await t.throwsAsync(read, { instanceOf: CancelledError })
  t.true(
    (
      await until(
        () => probe.progress(),
        ({ stopped }) => stopped,
      )
    ).stopped,
  )
})

test('call options out of range are refused', async (t) => {
  const actor = await RemotePhoenix.spawn(new Notes().path)
  for (const deadline of [0, -1, Number.NaN, 2 ** 31]) {
    t.throws(() => withOptions(actor, { deadline }), { instanceOf: InvalidInputError, message: /deadline must be/ })
  }
})
