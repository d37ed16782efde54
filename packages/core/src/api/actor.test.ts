import { readFileSync } from 'node:fs'
import { Socket } from 'node:net'
import test from 'ava'
import { ActorDiedError, InvalidInputError } from '../common/errors.js'
import { RemoteCounter } from '../testing/counter.js'
import { RemotePlayer } from '../testing/outcomes.js'
import { RemoteProbe } from '../testing/probe.js'
import { RemoteTyped } from '../testing/typed.js'
import { until } from '../testing/until.js'
import { useCluster } from '../testing/use-cluster.js'
import { actor } from './actor.js'
import { connect } from './cluster.js'
import { currentActor } from './current-actor.js'
import { clientOf, describeActor, killActor, stopActor } from './handle.js'

const cluster = useCluster(test)

test('an actor keeps its state between calls', async (t) => {
  const counter = await RemoteCounter.spawn(10)
  t.is(await counter.add(5), 15)
  t.is(await counter.add(), 16)
})

test('an actor runs in a process of its own, which ps shows by the name of the actor', async (t) => {
  const named = await RemoteProbe.options({ name: 'inspector', env: { PROBE: 'yes' } }).spawn()
  const { actor: self, env, title } = await named.whoami()
  t.not(self?.pid, process.pid)
  t.is(self?.name, 'inspector')
  t.is(env, 'yes')
  t.is(title, 'troupe worker inspector')
  t.deepEqual(describeActor(named), { id: self!.id, name: self!.name, pid: self!.pid, nodeId: self!.nodeId })
  const arguments_ = readFileSync(`/proc/${self!.pid}/cmdline`, 'latin1')
  t.is(arguments_.replaceAll('\0', ''), 'troupe worker inspector')
})

test('an actor gets Node flags and a folder of its own where that is asked for', async (t) => {
  const probe = await RemoteProbe.options({ nodeFlags: ['--max-old-space-size=256'], cwd: '/' }).spawn()
  const { flags, folder } = await probe.surroundings()
  t.is(folder, '/')
  t.true(flags.includes('--max-old-space-size=256'))
})

test('actors without a name are numbered by class', async (t) => {
  const names = (await Promise.all([RemoteCounter.spawn(), RemoteCounter.spawn()])).map((it) => describeActor(it).name)
  t.true(names.every((name) => /^Counter#\d+$/.test(name)))
  t.not(names[0], names[1])
})

test('two living actors cannot be given the same name', async (t) => {
  const first = await RemoteCounter.options({ name: 'only' }).spawn()
  const again = () => RemoteCounter.options({ name: 'only' }).spawn()
  await t.throwsAsync(again, { instanceOf: InvalidInputError, message: /an actor named only lives already/ })
  await stopActor(first)
  t.is(await (await again()).add(2), 2)
})

test('a ref can be awaited any number of times, and names its value', async (t) => {
  const counter = await RemoteCounter.spawn()
  const ref = counter.add(3)
  t.is(await ref, 3)
  t.is(await ref, 3)
  t.not(ref.id, counter.add().id)
})

test('a ref passed as an argument arrives as its value', async (t) => {
  const [left, right] = [await RemoteCounter.spawn(2), await RemoteCounter.spawn(40)]
  t.is(await right.add(left.add(0)), 42)
})

test('a failed ref passed as an argument fails the call with its error', async (t) => {
  const probe = await RemoteProbe.spawn()
  await t.throwsAsync(async () => probe.echo(probe.throwTypeError()), { instanceOf: TypeError })
  t.is(await probe.echo('still works'), 'still works')
})

test('the calls of one caller run in order, one at a time, also when some wait for refs', async (t) => {
  const [slow, probe] = [await RemoteProbe.spawn(), await RemoteProbe.spawn()]
  const late = slow.see('late', 50)
  void probe.see('a', 20)
  void probe.see(late)
  void probe.see('c', 5)
  void probe.see('d')
  t.deepEqual(await probe.see('e'), ['a', ['late'], 'c', 'd', 'e'])
})

test('arguments are taken as they are when the call is made', async (t) => {
  const [slow, probe] = [await RemoteProbe.spawn(), await RemoteProbe.spawn()]
  const mutable = { value: 'before' }
  void probe.see(slow.see(1, 20))
  const seen = probe.see(mutable)
  mutable.value = 'after'
  t.deepEqual((await seen)[1], { value: 'before' })
})

test('a handle passed to another actor can be called there', async (t) => {
  const [probe, counter] = [await RemoteProbe.spawn(), await RemoteCounter.spawn(1)]
  t.is(await probe.addThrough(counter, 4), 5)
  t.is(await counter.add(0), 5)
})

test('an actor has its own handle, to give to others', async (t) => {
  for (const isolation of ['process', 'thread', 'local'] as const) {
    const player = await RemotePlayer.options({ isolation }).spawn()
    const other = await RemotePlayer.spawn()
    await player.introduce(other)
    // The call back is on its way still, and a stop by another caller may overtake it.
    t.deepEqual(
      await until(
        () => player.all(),
        ({ length }) => length > 0,
      ),
      ['hello'],
    )
  }
  t.is(currentActor(), undefined)
})

test('a handle returned by an actor can be called by its caller', async (t) => {
  const probe = await RemoteProbe.spawn()
  const { handle } = await probe.spawnCounter()
  t.is(await handle.add(6), 6)
})

test('an error arrives with its class, its message and both stacks', async (t) => {
  const probe = await RemoteProbe.spawn()
  const error = await t.throwsAsync<TypeError>(async function theCaller() {
    await probe.throwTypeError()
  })
  t.true(error instanceof TypeError)
  t.is(error.message, 'expected a type')
  t.regex(error.stack!, /Probe\.throwTypeError[\s\S]*called as Probe#\d+\.throwTypeError from[\s\S]*theCaller/)
})

test('an error of a class of its own arrives with its name, its properties and its cause', async (t) => {
  const probe = await RemoteProbe.spawn()
  const error = await t.throwsAsync<Error & { code: number }>(async () => await probe.throwOddError())
  t.is(error.name, 'OddError')
  t.is(error.code, 7)
  t.true(error.cause instanceof TypeError)
})

test('a thrown value that is no error arrives as it is', async (t) => {
  const probe = await RemoteProbe.spawn()
  t.is(await probe.throwText().then(undefined, (thrown: unknown) => thrown), 'just text')
})

test('a result that cannot be sent fails the call with its path', async (t) => {
  const probe = await RemoteProbe.spawn()
  await t.throwsAsync(async () => await probe.unsendable(), {
    instanceOf: InvalidInputError,
    message: /^the result of Probe#\d+\.unsendable: \.nested\[0\] is a function/,
  })
})

test('an argument that cannot be sent fails the call in the caller', async (t) => {
  const probe = await RemoteProbe.spawn()
  await t.throwsAsync(async () => await probe.echo({ options: { callback() {} } }), {
    instanceOf: InvalidInputError,
    message: /^argument 1: \.options\.callback is a function and cannot be sent to another process/,
  })
})

test('a constructor that throws fails the spawn with its error', async (t) => {
  const error = await t.throwsAsync<RangeError>(() => RemoteCounter.spawn(-1), { instanceOf: RangeError })
  t.is(error.message, 'a counter starts at 0 or more, found -1')
})

test('a method that the class does not have is named', async (t) => {
  // What every object has, handles have by themselves.
  const probe = clientOf(await RemoteProbe.spawn())
  for (const name of ['nothing', 'hasOwnProperty', '__defineGetter__']) {
    const message = new RegExp(`^Probe#\\d+ has no method named ${name}$`)
    await t.throwsAsync(async () => await probe.call(name, []), { instanceOf: InvalidInputError, message })
  }
})

test('stopping an actor answers the calls before and refuses those after', async (t) => {
  const counter = await RemoteCounter.spawn()
  const before = Array.from({ length: 100 }, () => counter.add())
  await stopActor(counter)
  t.is((await Promise.all(before)).at(-1), 100)
  await t.throwsAsync(async () => await counter.add(), { instanceOf: ActorDiedError, message: /it was stopped/ })
})

test('killing an actor fails its pending calls', async (t) => {
  const probe = await RemoteProbe.spawn()
  const pending = t.throwsAsync(async () => await probe.never(), { instanceOf: ActorDiedError, message: /killActor/ })
  await killActor(probe)
  await pending
})

test('thousands of calls in flight are all answered in order', async (t) => {
  const counter = await RemoteCounter.spawn()
  const totals = await Promise.all(Array.from({ length: 5000 }, () => counter.add()))
  t.deepEqual(
    totals,
    totals.map((_, index) => index + 1),
  )
})

test('large arrays come back unchanged', async (t) => {
  const probe = await RemoteProbe.spawn()
  const value = { floats: new Float32Array(300_000).map((_, index) => index), bytes: new Uint8Array(70_000).fill(3) }
  t.deepEqual(await probe.echo(value), value)
})

test('an actor can be placed on a node by its id, and an unknown id is refused', async (t) => {
  const [node] = await cluster().nodes()
  const counter = await RemoteCounter.options({ nodeId: node!.id }).spawn()
  t.is(describeActor(counter).nodeId, node!.id)
  await t.throwsAsync(() => RemoteCounter.options({ nodeId: 'nowhere' }).spawn(), {
    instanceOf: InvalidInputError,
    message: /no node nowhere is in the cluster/,
  })
})

test('a second connect in one process is refused', async (t) => {
  await t.throwsAsync(() => connect(), { instanceOf: InvalidInputError, message: /in a cluster already/ })
})

test('a module cannot have two actors of one name', (t) => {
  class Twin {}
  actor('file:///twins.js', Twin)
  const other = { Twin: class Twin {} }.Twin
  t.throws(() => actor('file:///twins.js', other), { instanceOf: InvalidInputError, message: /an actor named Twin/ })
})

test('overloads of a method are those of the remote one, and what cannot be sent is a compile error', async (t) => {
  const typed = await RemoteTyped.spawn()
  const text: string = await typed.twice('ab')
  const number: number = await typed.twice(4)
  t.deepEqual([text, number], ['abab', 8])
  // @ts-expect-error no overload takes this
  await t.throwsAsync(async () => await typed.twice(Symbol('x')), { instanceOf: InvalidInputError })
  // @ts-expect-error a function cannot be sent
  const callback = typed.call(() => 1)
  await t.throwsAsync(() => callback, { instanceOf: InvalidInputError, message: /argument 1 is a function/ })
  // @ts-expect-error a socket cannot be sent
  const socket = typed.write(new Socket())
  await t.throwsAsync(() => socket, { instanceOf: InvalidInputError, message: /argument 1 is an instance of Socket/ })
  t.is(await typed.call(undefined), 0, 'an argument that may be left out can be')
  t.is(await typed.call(2), 2)
})

test('the types of a handle are those of its class', async (t) => {
  const counter = await RemoteCounter.spawn(1)
  const total: number = await counter.add(1)
  t.is(total, 2)
  // @ts-expect-error an argument of the wrong type
  await counter.add('1')
  // @ts-expect-error a constructor argument of the wrong type
  await RemoteCounter.spawn('1')
  // @ts-expect-error fields are not part of a handle
  t.truthy(counter.n)
  // @ts-expect-error a stream is no promise
  const notAwaited: Promise<number> = counter.countTo(3)
  t.truthy(notAwaited)
})
