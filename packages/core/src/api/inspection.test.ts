import assert from 'node:assert/strict'
import { format, inspect } from 'node:util'
import test from 'ava'
import { Channel, communicator, describeActor, graph, type ObjectRef, placementGroup, put } from '../index.js'
import { currentRuntime } from '../runtime/current.js'
import { type Counter, RemoteCounter } from '../testing/counter.js'
import { RemoteHolder } from '../testing/holder.js'
import { RemoteOddity } from '../testing/outcomes.js'
import { remoteSquare } from '../testing/tasks.js'
import { useCluster } from '../testing/use-cluster.js'
import { clientOf, handleOf } from './handle.js'

const cluster = useCluster(test)

/** The ways in which programs and libraries print a value. */
const printed: [how: string, print: (value: unknown) => string][] = [
  ['console.log', (value) => format(value)],
  ['console.log with a format', (value) => format('%s', value)],
  ['console.dir of everything', (value) => inspect(value, { depth: null, showHidden: true, getters: true })],
  ['console.dir of proxies', (value) => inspect(value, { depth: null, showProxy: true })],
  ['a template literal', (value) => `${value}`],
  ['String()', (value) => String(value)],
  ['concatenation', (value) => `${value as string}`.concat('')],
  ['JSON', (value) => JSON.parse(JSON.stringify({ value })).value],
  ['toLocaleString', (value) => (value as object).toLocaleString()],
]

test('a handle prints as its class and name, and nothing that looks at it calls the actor', async (t) => {
  const [counter, other] = await Promise.all([RemoteCounter.spawn(1), RemoteCounter.spawn(1)])
  const { name } = describeActor(counter)
  const client = clientOf(counter)
  const calls: string[] = []
  client.call = client.stream = (method) => {
    calls.push(method)
    throw new Error(`${method} was called`)
  }
  for (const [how, print] of printed) {
    const text = print(counter)
    if (how.endsWith('proxies')) t.true(text.includes(`Handle(${name})`), text)
    else t.is(text, `Handle(${name})`, how)
  }
  t.is(inspect(counter, { customInspect: false, depth: null }).split('\n').length, 1)
  t.is(await counter, counter, 'it is no promise')
  t.is(JSON.stringify({ ...counter }), '{}')
  for (const key in counter) t.fail(key)
  t.true('add' in counter && 'add' in Object.create(counter) && !('subtract' in counter))
  const again = handleOf<Counter>(client)
  assert.deepStrictEqual(counter, again)
  t.deepEqual(counter, again)
  assert.throws(() => assert.deepStrictEqual(counter, other), /Handle\(Counter/)
  t.notDeepEqual(counter, other)
  // Those that ask any object for functions of these names call them at once.
  const asked = ['then', 'inspect', 'asymmetricMatch', 'toBSON', '$$typeof', '@@__IMMUTABLE_ITERABLE__@@', 'equals']
  for (const property of [...asked, Symbol.iterator, Symbol.asyncIterator, Symbol.dispose]) {
    t.is(Reflect.get(counter, property), undefined, String(property))
  }
  t.true(Object.isFrozen(Object.freeze(counter)))
  t.deepEqual(calls, [])
  t.throws(() => counter.add(), { message: 'add was called' })
})

test('what a program holds prints without its internals, and never with the secret', async (t) => {
  const counter = await RemoteCounter.spawn(1)
  const runtime = currentRuntime()
  const { text: secret } = runtime.connections.secret
  const mesh = await RemoteCounter.spawnMesh({ replica: 2 })
  const oddity = await RemoteOddity.spawn()
  const channel = new Channel<number>()
  await using compiled = await graph((n: ObjectRef<number>) => counter.add(n))
  await using group = await placementGroup([{ cpu: 1 }])
  const { ref: borrowed } = await (await RemoteHolder.spawn()).make(1)
  const values: [value: unknown, shown: RegExp][] = [
    [cluster(), /^Cluster\(\w+\)$/],
    [RemoteCounter, /^RemoteClass\(Counter\)$/],
    [remoteSquare, /^\[Function: square\]/],
    [mesh, /^Mesh \{[\s\S]*dimensions: \{ replica: 2 \}[\s\S]*handle: Handle\(Counter/],
    [counter.add(), /^ObjectRef \[Promise\] \{[\s\S]*<pending>/],
    [put({ a: 1 }), /^\w*Ref \[Promise\]/],
    [borrowed, /^BorrowedRef \[Promise\] \{[\s\S]*<pending>/],
    [compiled, /^Graph\(running\)$/],
    [compiled.execute(1), /^ExecutionRef \[Promise\] \{[\s\S]*<pending>/],
    [channel, /^Channel \{\s*readers: \[\s*ChannelReader\(\w+#0\)/],
    [communicator([counter]), /^Invitation\(group\)$/],
    [group, /^PlacementGroup \{/],
    [oddity.count(1), /^\{ \[?Symbol\(Symbol.asyncIterator\)/],
  ]
  for (const [value, shown] of values) {
    const text = inspect(value, { depth: null })
    t.regex(text, shown)
    t.true(text.split('\n').length < 20, text)
    for (const options of [{ showHidden: true }, { customInspect: false, showProxy: true }, { getters: true }]) {
      t.false(inspect(value, { ...options, depth: null }).includes(secret), text)
    }
  }
  t.is(inspect(runtime.connections.secret, { depth: null }), 'Secret')
  t.false(inspect(runtime, { depth: null, showHidden: true, customInspect: false }).includes(secret))
  channel.close()
})
