import test from 'ava'
import { Semaphore } from './semaphore.js'

for (const limit of [1, 3, 2 ** 40, Number.POSITIVE_INFINITY]) {
  test(`a semaphore of ${limit} drains once every call before has run, and before those after`, async (t) => {
    const semaphore = new Semaphore(limit)
    await semaphore.drained()
    const steps: string[] = []
    const run = async (name: string) => {
      await semaphore.enter()
      await new Promise((resolve) => setImmediate(resolve))
      steps.push(name)
      semaphore.leave()
    }
    const before = ['a', 'b', 'c', 'd'].map(run)
    const drained = semaphore.drained().then(() => steps.push('drained'))
    const after = run('e')
    await Promise.all([...before, drained, after])
    t.deepEqual(steps, ['a', 'b', 'c', 'd', 'drained', 'e'])
  })
}

test('a semaphore runs as many at a time as its limit', async (t) => {
  const semaphore = new Semaphore(2)
  t.deepEqual([semaphore.tryEnter(), semaphore.tryEnter(), semaphore.tryEnter()], [true, true, false])
  const third = semaphore.enter()
  semaphore.leave()
  await third
  t.false(semaphore.tryEnter())
})
