import { Tensor } from '@troupe/tensor'
import test from 'ava'
import { ActorDiedError, allReduce, graph, killActor, type ObjectRef } from '../index.js'
import { TestCluster } from '../testing/index.js'
import { RemoteStage } from '../testing/stage.js'

test('a graph over several nodes gives what it gives on one', async (t) => {
  const nodes = await TestCluster.start([{ labels: { at: 'head' } }, { labels: { at: 'other' } }])
  try {
    const [a, b] = await Promise.all(['head', 'other'].map((at) => RemoteStage.options({ labels: { at } }).spawn(at)))
    const chain = await graph((input: ObjectRef<string>) => [b!.tag(a!.tag(input)), a!.tag(b!.tag(input))])
    for (let round = 0; round < 20; round++) {
      t.deepEqual(await chain.execute(`${round}`), [`${round}headother`, `${round}otherhead`])
    }
    await chain.close()
    const reduced = await graph(
      (input: ObjectRef<Tensor<'float32'>>) => allReduce([a!.scale(input, 2), b!.scale(input, 3)]),
      { maxInFlight: 40 },
    )
    const inputs = Array.from({ length: 40 }, (_, index) => Tensor.from('float32', [1], [index]))
    const results = await Promise.all(inputs.map((input) => reduced.execute(input)))
    for (const [index, [left, right]] of results.entries())
      t.deepEqual([left!.data[0], right!.data[0]], [index * 5, index * 5])
    await killActor(b!)
    await t.throwsAsync(reduced.execute(inputs[0]!), { instanceOf: ActorDiedError })
    t.is(reduced.state, 'failed')
  } finally {
    await nodes[Symbol.asyncDispose]()
  }
})
