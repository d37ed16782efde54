import { Tensor } from '@troupe/tensor'
import test from 'ava'
import {
  ActorDiedError,
  allGather,
  allReduce,
  describeActor,
  GraphClosedError,
  graph,
  InvalidInputError,
  type ObjectRef,
  put,
  reduceScatter,
} from '../index.js'
import { RemoteCounter } from '../testing/counter.js'
import { randomValue, seeded } from '../testing/random-values.js'
import { RemoteStage } from '../testing/stage.js'
import { until } from '../testing/until.js'
import { useCluster } from '../testing/use-cluster.js'

useCluster(test)

const spawn = (...labels: string[]) => Promise.all(labels.map((label) => RemoteStage.spawn(label)))

/** A stage whose state can be looked at while a step or a call runs. */
const spawnWatched = (label: string) => {
  const methods = ['waiting', 'open', 'all'] as const
  return RemoteStage.options({ concurrencyGroups: { rest: { limit: 1, methods: [...methods] } } }).spawn(label)
}

test('values go from actor to actor, and results come in the order of the executions', async (t) => {
  const [a, b] = await spawn('a', 'b')
  const chain = await graph((input: ObjectRef<string>) => b!.tagLater(a!.tag(input)))
  t.is(await chain.execute('x'), 'xab')
  const numbers = Array.from({ length: 200 }, (_, index) => index)
  const results = await Promise.all(numbers.map((number) => chain.execute(`${number}`)))
  t.deepEqual(
    results,
    numbers.map((number) => `${number}ab`),
  )
  t.deepEqual(await b!.all(), ['xa', ...numbers.map((number) => `${number}a`)])
  await chain.close()
})

test('several inputs fan out and in, and several outputs keep the form they were returned in', async (t) => {
  const [a, b, c] = await spawn('a', 'b', 'c')
  const diamond = await graph((left: ObjectRef<string>, right: ObjectRef<string>) => {
    const [one, two] = [a!.tag(left), b!.tag(left)]
    const joined = c!.join(one, two, '+')
    return { joined, list: [a!.join(joined, right), one], right: c!.tag(right) }
  })
  t.deepEqual(await diamond.execute('x', 'y'), {
    joined: '(xa+xb)',
    list: ['((xa+xb)y)', 'xa'],
    right: 'yc',
  })
  for (let round = 0; round < 50; round++)
    t.is((await diamond.execute(`${round}`, 'y')).joined, `(${round}a+${round}b)`)
  await diamond.close()
})

test('values of every kind and size go through', async (t) => {
  const [a, b] = await spawn('a', 'b')
  const chain = await graph((input: ObjectRef<unknown>) => b!.echo(a!.echo(input)), { maxInFlight: 2 })
  for (let seed = 0; seed < 60; seed++)
    t.deepEqual(await chain.execute(randomValue(seeded(seed))), randomValue(seeded(seed)))
  const large = Buffer.alloc(300_000, 'large')
  t.true(large.equals((await chain.execute(large)) as Buffer))
  const tensor = Tensor.from('float32', [2], [1, 2])
  const same = (await chain.execute({ tensor })) as { tensor: Tensor<'float32'> }
  same.tensor.data[0] = 5
  t.is(tensor.data[0], 5)
  t.is(await ((await chain.execute([put(7)])) as [ObjectRef<number>])[0], 7)
  await chain.close()
})

test('executions overlap up to maxInFlight, and further ones wait', async (t) => {
  const [a, b] = await Promise.all(['a', 'b'].map(spawnWatched))
  const chain = await graph((input: ObjectRef<string>) => b!.pass(a!.tag(input)), { maxInFlight: 3 })
  const results = ['1', '2', '3', '4'].map((input) => chain.execute(input))
  await until(async () => (await b!.waiting()) > 0 && (await a!.all()).length >= 3)
  t.deepEqual(await a!.all(), ['1', '2', '3'])
  for (const [index, result] of results.entries()) {
    await until(async () => (await b!.waiting()) > 0)
    await b!.open()
    t.is(await result, `${index + 1}a`)
  }
  await chain.close()
})

test('a stream runs over many inputs and gives their results in order', async (t) => {
  const [a, b] = await spawn('a', 'b')
  const join = await graph((left: ObjectRef<string>, right: ObjectRef<string>) => b!.join(a!.tag(left), right))
  async function* pairs(): AsyncGenerator<[string, string]> {
    for (let index = 0; index < 100; index++) yield [`${index}`, 'r']
  }
  const results: string[] = []
  for await (const result of join.stream(pairs())) results.push(result)
  t.deepEqual(
    results,
    Array.from({ length: 100 }, (_, index) => `(${index}ar)`),
  )
  await join.close()
})

test('an error reaches the caller of its own execution, with its class, and later ones are unaffected', async (t) => {
  const [a, b] = await spawn('a', 'b')
  const chain = await graph((input: ObjectRef<number>) => [b!.echo(a!.refuse(input, 2)), b!.echo(input)])
  const results = await Promise.allSettled([1, 2, 3].map((input) => chain.execute(input)))
  t.deepEqual(
    results.map(({ status }) => status),
    ['fulfilled', 'rejected', 'fulfilled'],
  )
  const { reason } = results[1] as PromiseRejectedResult
  t.true(reason instanceof RangeError)
  t.is(reason.message, '2 is refused')
  t.regex(reason.stack, /refuse.*stage[\s\S]*graph\.test/)
  t.deepEqual(await chain.execute(4), [4, 4])
  await chain.close()
  const odd = await graph((input: ObjectRef<number>) => a!.unsendable(input))
  await t.throwsAsync(odd.execute(1), {
    instanceOf: InvalidInputError,
    message: /the result of Stage.*unsendable: \.run is a function/,
  })
  t.throws(() => odd.execute((() => 1) as unknown as number), {
    instanceOf: InvalidInputError,
    message: /is a function/,
  })
  t.throws(() => (odd.execute as unknown as () => void)(), { message: 'the graph takes 1 inputs, found 0' })
  await odd.close()
})

test('a step whose value nobody needs runs in each execution, and its failure counts', async (t) => {
  const [a, b] = await spawn('a', 'b')
  const two = await graph((input: ObjectRef<number>) => {
    b!.refuse(input, 3)
    return a!.echo(input)
  })
  t.is(await two.execute(1), 1)
  await t.throwsAsync(two.execute(3), { message: '3 is refused' })
  await two.close()
})

test('ordinary calls go on while a graph runs, and steps take their turns with them', async (t) => {
  const a = await spawnWatched('a')
  const counter = await RemoteCounter.spawn()
  const chain = await graph((input: ObjectRef<number>) => a.addThrough(input, counter))
  let isRunning = true
  const running = (async () => {
    let sum = 0
    while (isRunning) sum = await chain.execute(1)
    return sum
  })()
  for (let index = 0; index < 30; index++) t.is(await a.echo(index), index)
  isRunning = false
  t.true((await running) > 0)
  const passing = a.pass(5)
  await until(async () => (await a.waiting()) > 0)
  const blocked = chain.execute(0)
  let isDone = false
  void blocked.then(() => {
    isDone = true
  })
  await counter.add(0)
  await counter.add(0)
  t.false(isDone)
  await a.open()
  t.is(await passing, 5)
  await blocked
  const holding = a.pass(6)
  await until(async () => (await a.waiting()) > 0)
  const last = chain.execute(1)
  await chain.close()
  await t.throwsAsync(last, { instanceOf: GraphClosedError })
  await a.open()
  t.is(await holding, 6)
})

test('an event loop that awaits one execution after the other still gets its turns', async (t) => {
  const [a] = await spawn('a')
  const echo = await graph((input: ObjectRef<number>) => a!.echo(input))
  let ticks = 0
  const timer = setInterval(() => ticks++, 1)
  for (let round = 0; round < 1e6 && ticks < 5; round++) await echo.execute(1)
  clearInterval(timer)
  t.true(ticks >= 5)
  await echo.close()
})

test('collectives join the values of several actors, and their failures reach the caller without harm', async (t) => {
  const stages = await spawn('a', 'b', 'c')
  const reduced = await graph((one: ObjectRef<number>, two: ObjectRef<number>, three: ObjectRef<number>) => {
    const inputs = [one, two, three]
    const tensors = stages.map((stage, index) => stage.ones(stage.refuse(inputs[index]!, 13), 3))
    const sums = allReduce(tensors)
    const all = allGather(allReduce([tensors[0]!, tensors[1]!], { reduction: 'max' }))
    return {
      sums: stages.map((stage, index) => stage.values(sums[index]!)),
      all: stages[1]!.values(all[1]!),
      shares: reduceScatter(tensors),
    }
  })
  for (let round = 1; round <= 3; round++) {
    const { sums, all, shares } = await reduced.execute(round, 2, 3)
    t.deepEqual(sums, new Array(3).fill(new Array(6).fill(round + 5)))
    t.deepEqual(all, new Array(12).fill(Math.max(round, 2)))
    t.deepEqual([...shares[2]!.data], [round + 5, round + 5])
    await t.throwsAsync(reduced.execute(1, 13, 1), { message: /13 is refused|value of Stage.* failed/ })
  }
  await reduced.close()
  const odd = await graph((rows: ObjectRef<number>) =>
    allReduce([stages[0]!.ones(1 as never, rows), stages[1]!.ones(rows)]),
  )
  await t.throwsAsync(odd.execute(3), { instanceOf: InvalidInputError, message: /tensors of one dtype and shape/ })
  t.is((await odd.execute(2)).length, 2)
  await odd.close()
})

test('branches run over the members of a mesh', async (t) => {
  const mesh = await RemoteStage.spawnMesh({ data: 2, tensor: 2 }, ({ rank }) => [`${rank}`])
  const branches = await graph((input: ObjectRef<string>) => {
    const tagged = mesh.members.map(({ handle }) => handle.tag(input))
    return mesh.at({ data: 1, tensor: 1 }).join(tagged[0]!, tagged[2]!)
  })
  t.is(await branches.execute('x'), '(x0x2)')
  await branches.close()
})

test('an actor that dies fails the executions under way, and the graph says so', async (t) => {
  const [a, b] = await spawn('a', 'b')
  const chain = await graph((input: ObjectRef<number>) => b!.echo(a!.die(input, 3)))
  t.is(await chain.execute(1), 1)
  const results = await Promise.allSettled([2, 3, 4].map((input) => chain.execute(input)))
  for (const result of results.slice(1)) {
    const { reason } = result as PromiseRejectedResult
    t.true(reason instanceof ActorDiedError)
    t.regex(reason.message, /^actor Stage#\d+ died: its process exited with code 3/)
  }
  t.is(chain.state, 'failed')
  t.true(chain.failure instanceof ActorDiedError)
  await t.throwsAsync(chain.execute(5), { instanceOf: ActorDiedError })
  t.is(await b!.echo(1), 1)
  const [c] = await spawn('c')
  const next = await graph((input: ObjectRef<string>) => c!.tag(b!.tag(input)))
  t.is(await next.execute('x'), 'xbc')
  await next.close()
  t.is(next.state, 'closed')
  await t.throwsAsync(next.execute('x'), { instanceOf: GraphClosedError })
})

test('what cannot be a graph is refused with what to do', async (t) => {
  const [a, b] = await spawn('a', 'b')
  const other: ObjectRef<string>[] = []
  await (
    await graph((input: ObjectRef<string>) => {
      other.push(input)
      return a!.tag(input)
    })
  ).close()
  const refused: [(input: ObjectRef<string>) => unknown, RegExp][] = [
    [async (input) => a!.tag(input), /must not be async/],
    [(input) => a!.tag(other[0] ?? input), /a value of another graph/],
    [(input) => [a!.tag(input), b!.tag('constant')], /Stage.*\.tag gets no value of the graph/],
    [(input) => input, /returns its input 1 as it is/],
    [(_) => 5, /returns values of its steps.*found 5/],
    [() => 5, /takes its inputs as parameters, found none/],
    [(input) => a!.stream(input), /yields a stream/],
    [(input) => a!.echo([input]), /argument itself|gets no value/],
    [(input) => allReduce([a!.ones(input as never), a!.ones(input as never)]), /found several of Stage/],
    [(input) => (a as unknown as { missing(input: unknown): unknown }).missing(input), /has no method named missing/],
    [(input) => a!.join(input, { nested: [input] } as never), /can be an argument itself, not be inside of one/],
    [(_) => a!.tag(other[0]!), /a value of another graph/],
  ]
  for (const [build, message] of refused) {
    await t.throwsAsync(graph(build as (input: ObjectRef<string>) => ObjectRef<string>), {
      instanceOf: InvalidInputError,
      message,
    })
  }
  await t.throwsAsync(
    graph((_: ObjectRef<string>, used: ObjectRef<string>) => a!.tag(used)),
    { message: /input 1 of the graph is used by no step/ },
  )
  t.throws(() => allReduce([]), {
    instanceOf: InvalidInputError,
    message: /call it in the function that is given to graph/,
  })
  t.is(await a!.echo(1), 1)
})

test('a graph can be seen as text and as a picture, and a recorded execution as a trace of its processes', async (t) => {
  const [a, b] = await spawn('a', 'b')
  const chain = await graph((input: ObjectRef<string>) => b!.join(a!.tag(input), input, '<'))
  const { text, svg } = chain.visualize()
  const [nameA, nameB] = [describeActor(a!).name, describeActor(b!).name]
  t.is(text, `%0 = input 1\n%1 = ${nameA}.tag(%0)\n%2 = ${nameB}.join(%1, %0, "<")\nreturn %2\n`)
  t.regex(svg, /^<svg xmlns[\s\S]*<\/svg>\n$/)
  t.is(svg.match(/<rect/g)?.length, 4)
  t.is(svg.match(/marker-end/g)?.length, 4)
  await chain.execute('before')
  const { traceEvents } = await chain.record(async () => {
    for (let round = 0; round < 3; round++) await chain.execute(`${round}`)
  })
  const spans = traceEvents.filter(({ ph }) => ph === 'X')
  t.deepEqual(
    spans.map(({ name, args }) => `${name} ${args.execution}`).sort(),
    [1, 2, 3]
      .flatMap((execution) => [`${nameA}.tag ${execution}`, `${nameB}.join ${execution}`, `execution ${execution}`])
      .sort(),
  )
  t.true(spans.every(({ ts, dur }) => ts! >= 0 && dur! >= 0))
  t.is(new Set(spans.map(({ pid }) => pid)).size, 3)
  await chain.close()
})
