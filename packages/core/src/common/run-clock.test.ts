import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import test, { type ExecutionContext } from 'ava'
import { RunClock, whileRunning } from './run-clock.js'
import { LATE } from './timer.js'

/** A process that has begun to run this. */
async function begun(
  t: ExecutionContext,
  script: string,
  ...before: string[]
): Promise<ChildProcess & { pid: number }> {
  const [command, ...args] = [...before, process.execPath, '-e', `process.stdout.write('begun'); ${script}`]
  const child = spawn(command!, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  t.teardown(() => child.kill('SIGKILL'))
  await once(child.stdout!, 'data')
  return child as ChildProcess & { pid: number }
}

/** Milliseconds that a clock counts, in looks over so many. */
async function counted(clock: RunClock, milliseconds: number): Promise<number> {
  const before = clock.look()
  for (let passed = 0; passed < milliseconds; passed += 100) {
    await delay(100)
    clock.look()
  }
  return clock.look() - before
}

test.serial('what a process waits for by itself counts, and the time in which it is stopped does not', async (t) => {
  const { pid } = await begun(t, 'setInterval(() => {}, 1e6)')
  const clock = new RunClock(pid)
  t.true((await counted(clock, 1000)) > 500)
  process.kill(pid, 'SIGSTOP')
  await delay(50)
  clock.look()
  t.is(await counted(clock, 1000), 0)
  process.kill(pid, 'SIGCONT')
  t.true((await counted(clock, 1000)) > 500)
})

test.serial('an endless loop counts by the processor time that it gets', async (t) => {
  // Of one processor, which others use at a far higher priority.
  const others = ['taskset', '-c', '0']
  const starved = await begun(t, 'for (;;);', ...others, 'nice', '-n', '19')
  const alone = new RunClock(starved.pid)
  t.true((await counted(alone, 1000)) > 0)
  const hogs = await Promise.all([1, 2].map(() => begun(t, 'for (;;);', ...others)))
  const clock = new RunClock(starved.pid)
  t.true((await counted(clock, 2000)) < 1000)
  for (const hog of hogs) hog.kill('SIGKILL')
})

test.serial('a promise is late once the process has had the time, not while that is stopped', async (t) => {
  const { pid } = await begun(t, 'setInterval(() => {}, 1e6)')
  const clock = new RunClock(pid)
  process.kill(pid, 'SIGSTOP')
  let isOver = false
  const never = whileRunning(new Promise(() => {}), 1000, () => clock.look()).finally(() => {
    isOver = true
  })
  await delay(3000)
  t.false(isOver)
  process.kill(pid, 'SIGCONT')
  t.is(await never, LATE)
  const most = whileRunning(new Promise(() => {}), 100, () => 0, 500)
  t.is(await most, LATE, 'there may be an end in any case')
})

test('what a promise becomes is passed on, also where nobody can tell how the process is', async (t) => {
  const lost = () => Promise.reject(new Error('lost'))
  t.is(await whileRunning(delay(50, 7), 10_000, lost), 7)
  await t.throwsAsync(() => whileRunning(lost(), 10_000, () => undefined), { message: 'lost' })
  t.is(await whileRunning(new Promise(() => {}), 200, lost), LATE)
  const { promise, settle } = withSettle()
  const hanging = whileRunning(promise, 20, () => new Promise(() => {}))
  await delay(100)
  settle('at last')
  t.is(await hanging, 'at last')
})

function withSettle(): { promise: Promise<string>; settle: (value: string) => void } {
  let settle!: (value: string) => void
  const promise = new Promise<string>((resolve) => {
    settle = resolve
  })
  return { promise, settle }
}
