import test from 'ava'
import { CancelledError, InvalidInputError, WorkerDiedError } from '../common/errors.js'
import { RemoteCounter } from '../testing/counter.js'
import { Notes } from '../testing/notes.js'
import {
  failing,
  remoteDivide,
  remoteFailing,
  remoteLetters,
  remoteSquare,
  remoteSumBelow,
  remoteUntilCancelled,
  remoteWhereAmI,
} from '../testing/tasks.js'
import { useCluster } from '../testing/use-cluster.js'
import { remote } from './remote.js'

const cluster = useCluster(test)

test.serial('a task runs in another process, which further tasks use again', async (t) => {
  const first = await remoteWhereAmI()
  t.not(first.pid, process.pid)
  t.is((await remoteWhereAmI()).pid, first.pid)
  const squares = await Promise.all(Array.from({ length: 200 }, (_, x) => remoteSquare(x)))
  t.deepEqual(
    squares,
    Array.from({ length: 200 }, (_, x) => x * x),
  )
})

test.serial('refs and handles can be the arguments of tasks, and refs of tasks those of actors', async (t) => {
  const counter = await RemoteCounter.spawn(1)
  t.is(await remoteSquare(remoteSquare(counter.add(1))), 16)
  t.is(await counter.add(remoteSquare(3)), 11)
})

test.serial('tasks call tasks, more levels deep than there are CPUs', async (t) => {
  t.is(await remoteSumBelow(0, 16), 120)
})

test.serial('a task gives several refs where it is asked to', async (t) => {
  const [quotient, remainder] = remoteDivide.options({ numReturns: 2 })(17, 5)
  t.is(await quotient, 3)
  t.is(await remoteSquare(remainder), 4)
  const wrong = remoteDivide.options({ numReturns: 3 })(17, 5)
  await t.throwsAsync(async () => await wrong[0], { instanceOf: InvalidInputError, message: /numReturns: 3.*2 values/ })
})

test.serial('a generator runs as a task that streams', async (t) => {
  const items: string[] = []
  for await (const letter of remoteLetters('troupe')) items.push(letter)
  t.is(items.join(''), 'troupe')
})

test.serial('a task is run again when its process dies, as often as it may be', async (t) => {
  const [twice, never] = [new Notes(), new Notes()]
  t.is(await remoteFailing.options({ maxRetries: 2 })(twice.path, 'exit', 2), 3)
  const failed = remoteFailing.options({ maxRetries: 0 })(never.path, 'exit', 1)
  await t.throwsAsync(() => failed, { instanceOf: WorkerDiedError, message: /the task failing died: .*code 7/ })
  t.is(never.lines().length, 1)
})

test.serial('a task that throws is run again only if that was asked for', async (t) => {
  const [once, twice, other] = [new Notes(), new Notes(), new Notes()]
  await t.throwsAsync(async () => await remoteFailing(once.path, 'throw', 1), {
    instanceOf: RangeError,
    message: 'run 1',
  })
  t.is(await remoteFailing.options({ retryExceptions: true })(twice.path, 'throw', 2), 3)
  const retryExceptions = (error: unknown) => error instanceof TypeError
  const failed = remoteFailing.options({ retryExceptions })(other.path, 'throw', 1)
  await t.throwsAsync(() => failed, { instanceOf: RangeError })
  t.is(other.lines().length, 1)
})

test.serial('a cancelled task sees its signal, and one that waits never starts', async (t) => {
  const notes = new Notes()
  const one = remoteUntilCancelled.options({ resources: { cpu: 2 } })
  const running = one(notes.path, 'running')
  await notes.include('running began')
  const waiting = one(notes.path, 'waiting')
  waiting.cancel()
  await t.throwsAsync(() => waiting, { instanceOf: CancelledError })
  running.cancel()
  await t.throwsAsync(() => running, { instanceOf: CancelledError })
  await notes.include('running aborted')
  t.is(await remoteSquare(2), 4)
  t.deepEqual(notes.lines(), ['running began', 'running aborted'])
})

test.serial('a task sees only the GPUs that it was given, and running tasks are listed', async (t) => {
  const notes = new Notes()
  const running = remoteUntilCancelled(notes.path, 'listed')
  await notes.include('listed began')
  t.true((await cluster().tasks()).some(({ name, pid }) => name === 'untilCancelled' && pid > 0))
  running.cancel()
  await notes.include('listed aborted')
  const impossible = remoteWhereAmI.options({ resources: { gpu: 1000 } })()
  await t.throwsAsync(() => impossible, {
    instanceOf: InvalidInputError,
    message: /whereAmI can be placed nowhere.*gpu: 1000/,
  })
})

test('a function without a name, two of one name, and options out of range are refused', async (t) => {
  t.throws(() => remote('file:///a.js', (() => () => {})()), {
    instanceOf: InvalidInputError,
    message: /without a name/,
  })
  remote('file:///a.js', failing)
  t.throws(() => remote('file:///a.js', { failing: () => {} }.failing), { message: /a task named failing already/ })
  t.throws(() => remoteSquare.options({ numReturns: 0 }), { instanceOf: InvalidInputError, message: /numReturns/ })
  t.throws(() => remoteSquare.options({ resources: { cpu: -1 } }), {
    instanceOf: InvalidInputError,
    message: /cpu must be/,
  })
  // @ts-expect-error an argument of the wrong type
  await t.throwsAsync(async () => await remoteSquare(Symbol('x')), { instanceOf: InvalidInputError })
})
