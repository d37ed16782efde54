import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import test from 'ava'
import type { CommunicatorOptions, RankAddress } from './communicator.js'

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
    await end(children)
  })
}

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
