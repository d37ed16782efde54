import test from 'ava'
import { LogSender } from './log-sender.js'

test('lines that a reader does not take in are dropped beyond a bound, and counted when it has caught up', async (t) => {
  const lines: string[] = []
  const taken: (() => void)[] = []
  const sender = new LogSender((line) => {
    lines.push(line)
    return new Promise<void>((resolve) => taken.push(resolve))
  })
  for (let number = 0; number < 7000; number++) sender.send(`${number}`)
  t.is(lines.length, 5000)
  for (const take of taken.splice(0)) take()
  await new Promise((resolve) => setImmediate(resolve))
  t.is(lines.length, 5001)
  t.regex(lines.at(-1)!, /^\(2000 lines/)
  sender.send('next')
  t.is(lines.at(-1), 'next')
})
