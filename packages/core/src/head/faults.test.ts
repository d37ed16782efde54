import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { type AddressInfo, connect as connectSocket, createServer } from 'node:net'
import test from 'ava'
import { ActorDiedError, connect, describeActor, InvalidInputError, NodeUnreachableError } from '../index.js'
import { RemoteCounter } from '../testing/counter.js'
import { isAlive, processesOf, untilGone } from '../testing/leftovers.js'
import { logOf } from '../testing/log-lines.js'
import { RemoteProbe } from '../testing/probe.js'
import { run } from '../testing/programs.js'
import { introduce } from '../transport/identity.js'
import { Secret } from '../transport/secret.js'
import { watchfulDealer } from '../transport/sockets.js'

test.serial('kill -9 of a worker fails its pending calls and later ones, naming the actor', async (t) => {
  await using cluster = await connect({ onLog: logOf(t) })
  const probe = await RemoteProbe.options({ name: 'victim' }).spawn()
  const pending = [probe.never(), probe.echo(1), probe.never()]
  const { pid } = describeActor(probe)
  const since = performance.now()
  process.kill(pid, 'SIGKILL')
  for (const call of pending) {
    const error = await t.throwsAsync<ActorDiedError>(() => call, { instanceOf: ActorDiedError })
    t.is(error.actor, 'victim')
    t.regex(error.message, /^actor victim died: its process was killed by SIGKILL/)
  }
  await t.throwsAsync(async () => await probe.echo(2), { instanceOf: ActorDiedError })
  t.true(performance.now() - since < 20_000, 'nobody waits for a time limit')
  await untilGone(t, () => processesOf(cluster.id).filter((left) => left === pid))
})

test.serial('a stream fails when its producer is killed', async (t) => {
  await using _cluster = await connect({ onLog: logOf(t) })
  const probe = await RemoteProbe.spawn()
  const items = probe.produce(1_000_000)[Symbol.asyncIterator]()
  await items.next()
  process.kill(describeActor(probe).pid, 'SIGKILL')
  const drain = async () => {
    while (!(await items.next()).done);
  }
  await t.throwsAsync(drain, { instanceOf: ActorDiedError })
})

test.serial('an exit and an error outside of a call are in the message of the death', async (t) => {
  await using _cluster = await connect({ onLog: logOf(t) })
  const [quitter, thrower] = [await RemoteProbe.spawn(), await RemoteProbe.spawn()]
  await t.throwsAsync(async () => await quitter.exit(3), { message: /its process exited with code 3/ })
  const message =
    /its process exited with code 1 \(Error: thrown outside of a call\)[\s\S]*last lines on its stderr:[\s\S]*probe\.[jt]s/
  await t.throwsAsync(async () => await thrower.throwOutsideOfACall(), { message })
})

test.serial('the actors that an actor spawned die with it', async (t) => {
  await using cluster = await connect({ onLog: logOf(t) })
  const parent = await RemoteProbe.spawn()
  const { handle, pid } = await parent.spawnCounter()
  t.is(await handle.add(1), 1)
  process.kill(describeActor(parent).pid, 'SIGKILL')
  await untilGone(t, () => processesOf(cluster.id).filter((left) => left === pid))
  const error = await t.throwsAsync<ActorDiedError>(async () => await handle.add())
  t.regex(error.message, /its owner Probe#\d+ died/)
})

for (const [how, end] of [
  ['kill -9 of the driver', 'SIGKILL'],
  ['Ctrl-C at the driver', 'SIGINT'],
] as const) {
  test.serial(`${how} ends its cluster`, async (t) => {
    const driver = run(t, 'driver-program.js', 'wait')
    const { id, pids } = JSON.parse(await driver.line())
    t.true(pids.every(isAlive))
    driver.child.kill(end)
    t.is(await driver.ended, end)
    await untilGone(t, () => processesOf(id))
  })
}

for (const [how, mode, code] of [
  ['returns without shutdown', 'return', 0],
  ['fails', 'fail', 1],
] as const) {
  test.serial(`a driver that ${how} ends its cluster`, async (t) => {
    const driver = run(t, 'driver-program.js', mode)
    const { id } = JSON.parse(await driver.line())
    t.is(await driver.ended, code)
    await untilGone(t, () => processesOf(id))
  })
}

test.serial('a module that connects when a worker imports it fails the spawn, and says how to guard it', async (t) => {
  const guarded = run(t, 'careless-program.js', 'guarded')
  t.is(await guarded.line(), 'hello world')
  t.is(await guarded.ended, 0)
  const careless = run(t, 'careless-program.js')
  t.is(await careless.ended, 1)
  t.regex(careless.errors(), /connect\(\) was called in the worker of Greeter#1.*`if \(!currentActor\(\)\)`/)
})

test.serial('kill -9 of the head fails calls with a clear error', async (t) => {
  const cluster = await connect({ onLog: logOf(t) })
  const [node] = await cluster.nodes()
  const probe = await RemoteProbe.spawn()
  const pending = probe.never()
  process.kill(node!.pid, 'SIGKILL')
  await t.throwsAsync(() => pending, { instanceOf: ActorDiedError, message: /head of the cluster has gone/ })
  await t.throwsAsync(() => RemoteCounter.spawn(), { message: /head of the cluster has gone/ })
  await cluster.shutdown()
  await untilGone(t, () => processesOf(cluster.id))
})

test.serial('actors spread over two nodes, and call each other over TCP', async (t) => {
  const head = run(t, 'head-program.js')
  const address = await head.line()
  const node = run(t, 'node-program.js', address)
  t.is(await node.line(), 'joined')
  await using cluster = await connect({ onLog: logOf(t), address })
  const nodes = await cluster.nodes()
  t.deepEqual(
    nodes.map(({ pid }) => pid),
    [head.child.pid, node.child.pid],
  )
  const mesh = await RemoteCounter.spawnMesh({ pipeline: 2, tensor: 2 })
  const places = (await mesh.call('where')).map(({ value }) => value?.nodeId)
  t.deepEqual(places, [nodes[0]?.id, nodes[0]?.id, nodes[1]?.id, nodes[1]?.id])
  const chosen = [1, 0, 1].map((index) => nodes[index]!.id)
  const placed = await RemoteCounter.options({ nodeIds: chosen }).spawnMesh({ member: 3 })
  t.deepEqual(
    (await placed.call('where')).map(({ value }) => value?.nodeId),
    chosen,
    'a mesh is where its members were asked for',
  )
  await placed.stop()
  const few = RemoteCounter.options({ nodeIds: chosen })
  await t.throwsAsync(() => few.spawnMesh({ member: 2 }), { message: /nodeIds must name a node for each of 2 members/ })
  await t.throwsAsync(() => few.spawn(), { message: /nodeIds are for the members of a mesh/ })
  const probe = await RemoteProbe.options({ nodeId: nodes[0]!.id }).spawn()
  t.is(await probe.addThrough(mesh.at({ pipeline: 1, tensor: 1 }), 5), 5)
  t.deepEqual(await probe.echo(new Float32Array(50_000).fill(2)), new Float32Array(50_000).fill(2))

  const victims = mesh.slice({ pipeline: 1 })
  const stream = victims.at({ tensor: 0 }).countTo(1_000_000)[Symbol.asyncIterator]()
  await stream.next()
  node.child.kill('SIGKILL')
  const drain = async () => {
    while (!(await stream.next()).done);
  }
  await t.throwsAsync(drain, { instanceOf: ActorDiedError, message: /Counter\[pipeline=1,tensor=0\] died/ })
  await t.throwsAsync(() => victims.call('add', 1), { instanceOf: ActorDiedError, message: /its node .* was lost/ })
  t.is((await mesh.slice({ pipeline: 0 }).call('add', 1)).length, 2)
  await cluster.shutdown()
  await untilGone(t, () => processesOf(cluster.id))
  head.child.kill('SIGTERM')
  t.is(await head.ended, 0)
})

test.serial('the head ends the actors of a driver that was killed', async (t) => {
  const head = run(t, 'head-program.js')
  const address = await head.line()
  const driver = run(t, 'driver-program.js', 'wait', address)
  const { id } = JSON.parse(await driver.line())
  driver.child.kill('SIGKILL')
  await untilGone(t, () => processesOf(id))
  t.true(isAlive(head.child.pid!))
  head.child.kill('SIGTERM')
  await head.ended
})

test.serial('a node ends with an error, and its workers with it, when the head is killed', async (t) => {
  const head = run(t, 'head-program.js')
  const address = await head.line()
  const node = run(t, 'node-program.js', address)
  await node.line()
  const driver = run(t, 'driver-program.js', 'wait', address)
  const { id } = JSON.parse(await driver.line())
  head.child.kill('SIGKILL')
  t.is(await node.ended, 1)
  t.regex(node.errors(), /the head at 127\.0\.0\.1:\d+ has gone/)
  t.is(await driver.ended, 1)
  t.regex(driver.errors(), /the head of the cluster has gone/)
  await untilGone(t, () => processesOf(id))
})

test.serial('a port in use, and an address where no head answers, are named', async (t) => {
  const head = run(t, 'head-program.js')
  const address = await head.line()
  const second = run(t, 'head-program.js', address.split(':')[1]!)
  t.is(await second.ended, 1)
  t.regex(second.errors(), /PortInUseError: port \d+ is in use on 127\.0\.0\.1; choose another one/)
  head.child.kill('SIGTERM')
  await head.ended
  const silent = createServer((socket) => socket.on('error', () => {}))
  silent.listen(0, '127.0.0.1')
  await once(silent, 'listening')
  t.teardown(() => silent.close())
  const nowhere = `127.0.0.1:${(silent.address() as AddressInfo).port}`
  const refusal = {
    instanceOf: NodeUnreachableError,
    message: /no Troupe head answers at .* within 5 s; start one with/,
  }
  await t.throwsAsync(() => connect({ address: nowhere }), refusal)
  await t.throwsAsync(() => connect({ address: 'nonsense' }), { instanceOf: InvalidInputError, message: /HOST:PORT/ })
})

test.serial('bytes from strangers do not harm the head', async (t) => {
  const head = run(t, 'head-program.js')
  const address = await head.line()
  const [host, port] = address.split(':')
  for (let round = 0; round < 20; round++) {
    const socket = connectSocket(Number(port), host)
    await once(socket, 'connect')
    socket.on('error', () => {})
    socket.end(randomBytes(1 + round * 500))
  }
  const secret = new Secret(process.env.TROUPE_TOKEN!)
  const self = { processId: 'stranger', nodeId: 'nowhere' }
  const stranger = watchfulDealer(introduce(self, secret, 'connecting', `tcp://${address}`), secret)
  stranger.connect(`tcp://${address}`)
  for (let round = 0; round < 200; round++) await stranger.send([randomBytes(round), randomBytes(10)])
  const unknown = watchfulDealer('unknown', secret)
  unknown.connect(`tcp://${address}`)
  for (let round = 0; round < 200; round++) await unknown.send(randomBytes(round))
  await using cluster = await connect({ onLog: logOf(t), address })
  const counter = await RemoteCounter.spawn()
  t.is(await counter.add(1), 1)
  stranger.close()
  unknown.close()
  await cluster.shutdown()
  head.child.kill('SIGTERM')
  t.is(await head.ended, 0)
})
