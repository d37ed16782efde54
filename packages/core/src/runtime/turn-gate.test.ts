import test from 'ava'
import { TurnGate } from './turn-gate.js'

test('so many pass in a turn of the event loop, the others in the next ones, in their order', async (t) => {
  const gate = new TurnGate(2)
  const seen: (number | string)[] = []
  const all = [1, 2, 3, 4, 5].map(async (number) => {
    await gate.pass()
    seen.push(number)
  })
  const turns = (async () => {
    for (let turn = 0; turn < 3; turn++) {
      await new Promise((resolve) => setImmediate(resolve))
      seen.push('turn')
    }
  })()
  await Promise.all([...all, turns])
  t.deepEqual(seen, [1, 2, 3, 4, 'turn', 5, 'turn', 'turn'])
})

test('who comes later does not overtake who waits', async (t) => {
  const gate = new TurnGate(1)
  const seen: number[] = []
  const pass = async (number: number) => {
    await gate.pass()
    seen.push(number)
  }
  const first = [pass(1), pass(2)]
  await first[0]
  await Promise.all([...first, pass(3)])
  t.deepEqual(seen, [1, 2, 3])
})

test('where few pass, none waits', (t) => {
  const gate = new TurnGate(2)
  t.deepEqual([gate.pass(), gate.pass()], [undefined, undefined])
})
