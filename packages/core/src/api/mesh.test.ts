import test from 'ava'
import { ActorDiedError, InvalidInputError } from '../common/errors.js'
import { RemoteCounter } from '../testing/counter.js'
import { RemoteProbe } from '../testing/probe.js'
import { useCluster } from '../testing/use-cluster.js'
import { describeActor } from './handle.js'

useCluster(test)

test.serial('a mesh has a member at each place, the first dimension being the slowest', async (t) => {
  const mesh = await RemoteCounter.spawnMesh({ pipeline: 2, tensor: 2 }, ({ rank, size }) => [rank * 10 + size])
  t.is(mesh.size, 4)
  t.deepEqual(
    mesh.members.map(({ coordinates, rank }) => [coordinates, rank]),
    [
      [{ pipeline: 0, tensor: 0 }, 0],
      [{ pipeline: 0, tensor: 1 }, 1],
      [{ pipeline: 1, tensor: 0 }, 2],
      [{ pipeline: 1, tensor: 1 }, 3],
    ],
  )
  const answers = await mesh.call('add', 1)
  t.deepEqual(
    answers.map(({ value }) => value),
    [5, 15, 25, 35],
  )
  t.deepEqual(answers[2]?.coordinates, { pipeline: 1, tensor: 0 })

  const stage = mesh.slice({ pipeline: 1 })
  t.deepEqual(stage.dimensions, { tensor: 2 })
  t.is(await stage.at({ tensor: 1 }).add(0), 35)
  t.is(await mesh.at({ pipeline: 1, tensor: 1 }).add(0), 35)

  const self = await mesh.at({ pipeline: 0, tensor: 1 }).where()
  t.is(self?.name, 'Counter[pipeline=0,tensor=1]')
  t.deepEqual(self?.coordinates, { pipeline: 0, tensor: 1 })
  t.deepEqual(self?.dimensions, { pipeline: 2, tensor: 2 })
  t.is(self?.rank, 1)

  mesh.broadcast('add', 100)
  t.deepEqual(
    (await mesh.call('add', 0)).map(({ value }) => value),
    [105, 115, 125, 135],
  )
  await mesh.stop()
  await t.throwsAsync(() => mesh.call('add'), {
    instanceOf: ActorDiedError,
    message: /Counter\[pipeline=\d,tensor=\d\]/,
  })
})

test.serial('the first failure of a call on a mesh names the member', async (t) => {
  const mesh = await RemoteProbe.spawnMesh({ stage: 2 })
  await t.throwsAsync(() => mesh.call('throwTypeError'), {
    instanceOf: TypeError,
    message: /^Probe\[stage=\d\]\.throwTypeError: expected a type$/,
  })
  const { pid, name } = describeActor(mesh.at({ stage: 1 }))
  const pending = mesh.call('never')
  process.kill(pid, 'SIGKILL')
  const error = await t.throwsAsync<ActorDiedError>(() => pending, { instanceOf: ActorDiedError })
  t.is(error.actor, name)
  await mesh.kill()
})

test.serial('a constructor that throws in one member fails the spawn and ends the others', async (t) => {
  const spawn = () => RemoteCounter.options({ name: 'doomed' }).spawnMesh({ place: 2 }, ({ rank }) => [-rank])
  await t.throwsAsync(spawn, { instanceOf: RangeError, message: /found -1/ })
  await t.throwsAsync(spawn, { instanceOf: RangeError }, 'their names are free again')
})

test('a dimension that is no positive integer, and a place that does not exist, are refused', async (t) => {
  for (const size of [0, -1, 1.5, Number.NaN]) {
    const refusal = { instanceOf: InvalidInputError, message: /the mesh dimension tensor must be a positive integer/ }
    await t.throwsAsync(() => RemoteCounter.spawnMesh({ tensor: size }), refusal)
  }
  const mesh = await RemoteCounter.spawnMesh({ tensor: 1 })
  t.throws(() => mesh.at({ tensor: 1 }), { instanceOf: InvalidInputError, message: /from 0 to 0, found 1/ })
  t.throws(() => mesh.at({}), { instanceOf: InvalidInputError, message: /lack the dimension tensor/ })
  t.throws(() => mesh.slice({ pipeline: 0 }), { instanceOf: InvalidInputError, message: /no dimension pipeline/ })
})

test('choose calls one member at a time, each in its turn', async (t) => {
  const mesh = await RemoteCounter.spawnMesh({ member: 3 })
  const totals = await Promise.all(Array.from({ length: 6 }, () => mesh.choose('add', 1)))
  t.deepEqual(totals, [1, 1, 1, 2, 2, 2])
  const letters: string[] = []
  for await (const letter of mesh.choose('letters', 'abc')) letters.push(letter)
  t.is(letters.join(''), 'abc')
  // @ts-expect-error an argument of the wrong type
  await t.throwsAsync(async () => await mesh.choose('add', Symbol('x')))
})
