import test from 'ava'
import { Lane } from './lane.js'

for (const limit of [1, 3, 2 ** 40, Number.POSITIVE_INFINITY]) {
  test(`a lane of ${limit} drains once every call before has run, and before those after`, async (t) => {
    const lane = new Lane(limit)
    await lane.drained()
    const steps: string[] = []
    const run = async (name: string) => {
      await lane.enter()
      await new Promise((resolve) => setImmediate(resolve))
      steps.push(name)
      lane.leave()
    }
    const before = ['a', 'b', 'c', 'd'].map(run)
    const drained = lane.drained().then(() => steps.push('drained'))
    const after = run('e')
    await Promise.all([...before, drained, after])
    t.deepEqual(steps, ['a', 'b', 'c', 'd', 'drained', 'e'])
  })
}

test('a lane runs as many at a time as its limit', async (t) => {
  const lane = new Lane(2)
  t.deepEqual([lane.tryEnter(), lane.tryEnter(), lane.tryEnter()], [true, true, false])
  const third = lane.enter()
  lane.leave()
  await third
  t.false(lane.tryEnter())
})
