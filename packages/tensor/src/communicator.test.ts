import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import test from 'ava'
import { Communicator, type CommunicatorOptions, type RankAddress } from './communicator.js'
import { Tensor } from './tensor.js'

const member = fileURLToPath(new URL('./testing/communicator-member.js', import.meta.url))

/** Starts a process a rank and connects them. `nodes` names each rank's node. */
async function group(nodes: string[]): Promise<ChildProcess[]> {
  const children = nodes.map((node, rank) => {
    const options: CommunicatorOptions = {
      rank,
      size: nodes.length,
      name: 'test',
      node,
      host: '127.0.0.1',
      token: 'secret',
    }
    const child = fork(member)
    child.send(options)
    return child
  })
  const addresses = (await Promise.all(children.map((child) => once(child, 'message')))).map(([a]) => a as RankAddress)
  const ready = children.map((child) => once(child, 'message'))
  for (const child of children) child.send(addresses)
  await Promise.all(ready)
  return children
}

async function end(children: ChildProcess[]): Promise<void> {
  const exits = children
    .filter((child) => child.exitCode === null && child.signalCode === null)
    .map((child) => once(child, 'exit'))
  for (const child of children) child.kill('SIGKILL')
  await Promise.all(exits)
}

async function ask(children: ChildProcess[], request: object): Promise<unknown[]> {
  const answers = children.map((child) => once(child, 'message'))
  for (const child of children) child.send(request)
  return (await Promise.all(answers)).map(([answer]) => answer)
}

for (const [where, nodes] of Object.entries({
  'processes of one host': ['a', 'a', 'a'],
  'processes of three hosts': ['a', 'b', 'c'],
  'processes of two hosts': ['a', 'b', 'a', 'b'],
})) {
  test(`${where} sum, collect and pass on tensors`, async (t) => {
    const children = await group(nodes)
    const size = nodes.length
    const sums = await ask(children, { operation: 'allReduce', values: [1, 2] })
    const total = (size * (size + 1)) / 2
    t.deepEqual(
      sums,
      nodes.map(() => [total, 2 * total]),
    )
    const gathered = await ask(children, { operation: 'allGather' })
    const all = nodes.flatMap((_, rank) => Array(rank + 1).fill(rank))
    t.deepEqual(
      gathered,
      nodes.map(() => all),
    )
    t.deepEqual(
      await ask(children, { operation: 'ring' }),
      nodes.map((_, rank) => (rank + size - 1) % size),
    )
    const results = (await ask(children, { operation: 'everything' })) as Record<string, number[]>[]
    const ones = Array.from({ length: size }, (_, rank) => rank + 1)
    results.forEach((found, rank) => {
      t.deepEqual(found.largest, [size, size])
      t.deepEqual(found.average, [(size + 1) / 2, (size + 1) / 2])
      t.deepEqual(found.reduced, rank === 1 ? [ones.reduce((a, b) => a * b)] : [])
      t.deepEqual(found.slice, Array(rank).fill(total))
      t.deepEqual(found.sent, [2])
      const stacked = ones.flatMap((value, r) => Array(r).fill(value))
      t.deepEqual(found.gathered, rank === 0 ? stacked : Array(stacked.length).fill(0))
      const before = (rank * (rank - 1)) / 2
      t.deepEqual(
        found.scattered,
        Array.from({ length: rank }, (_, i) => before + i),
      )
      t.deepEqual(found.exchanged, ones)
    })
    const halves = nodes.map((_, rank) => nodes.map((_, other) => other).filter((other) => other % 2 === rank % 2))
    t.deepEqual(
      await ask(children, { operation: 'split' }),
      halves.map((half, rank) => [half.reduce((a, b) => a + b), half.length - 1 - half.indexOf(rank), half.length]),
    )
    await end(children)
  })
}

test('ranks that give different dtypes are told so', async (t) => {
  const children = await group(['a', 'a'])
  const failures = (await ask(children, { operation: 'disagree' })) as { error: string }[]
  t.true(
    failures.some(({ error }) => /all-reduce \(sum\) of 3 (int32|float32) from rank \d, found .* of 3/.test(error)),
  )
  await end(children)
})

test('sizes, dtypes and ranks that cannot be are refused before anything is sent', (t) => {
  const options = { rank: 0, size: 2, name: 'test', node: 'a', token: 'secret' }
  const group = new Communicator(options)
  const zeros = (rows: number) => Tensor.zeros('float32', [rows, 2])
  t.throws(() => group.allReduce(zeros(2), { output: zeros(3) }), { instanceOf: RangeError })
  t.throws(() => group.allReduce(zeros(2), { output: Tensor.zeros('int32', [2, 2]) }), { message: /one dtype/ })
  t.throws(() => group.allGather(zeros(1), [1, 1], zeros(3)), {
    message: /3 rows divided among 2 ranks, found \[1,1\]/,
  })
  t.throws(() => group.allGather(zeros(2), [1, 1], zeros(2)), { message: /expected 1 rows of 8 bytes/ })
  t.throws(() => group.allToAll(zeros(3), zeros(4)), { message: /3 rows do not divide evenly/ })
  t.throws(() => group.gather(zeros(1), [1, 1], 0), { message: /must give the whole tensor/ })
  t.throws(() => group.send(0, zeros(1)), { message: /cannot send to itself/ })
  t.throws(() => group.broadcast(zeros(1), 2), { message: /ranks 0 to 1; found 2/ })
})

test('a killed process ends the wait of the others with an error that names its rank', async (t) => {
  for (const nodes of [
    ['a', 'a'],
    ['a', 'b'],
  ]) {
    const children = await group(nodes)
    const answer = once(children[0]!, 'message')
    children[0]!.send({ operation: 'allReduce', values: [1] })
    children[1]!.kill('SIGKILL')
    const [failure] = await answer
    t.regex((failure as { error: string }).error, /rank 1/)
    await end(children)
  }
})
