import { randomBytes } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import test from 'ava'
import { allocatePipe, ByteRing, CAPACITY, openPipe, SharedPipe } from './shared-pipe.js'

/** Both ends of a pipe in this process; each collects what it gets, and counts how often it was woken. */
function bothEnds() {
  const memory = allocatePipe()
  const ends = [memory, openPipe(memory.handle!)].map((mapped, index) => {
    const got: Buffer[] = []
    const end = {
      got,
      wakings: 0,
      isAsleep: () => new ByteRing(memory.buffer, index === 0 ? memory.buffer.byteLength / 2 : 0, CAPACITY).isAsleep,
      arrived: () => Buffer.concat(got).length,
      pipe: new SharedPipe(mapped, index === 0, (piece) => got.push(Buffer.from(piece)), wakeOther),
    }
    function wakeOther() {
      const other = ends[1 - index]!
      other.wakings += 1
      setImmediate(() => other.pipe.woken())
    }
    return end
  })
  return ends as [(typeof ends)[0], (typeof ends)[0]]
}

async function until(condition: () => boolean): Promise<void> {
  for (let turn = 0; !condition(); turn++) {
    if (turn > 1000) throw new Error('it did not happen')
    await delay(1)
  }
}

test.serial('a message of many times the size of a pipe arrives whole, in both directions at once', async (t) => {
  const [a, b] = bothEnds()
  const [there, back] = [randomBytes(3_000_001), randomBytes(1_234_567)]
  a.pipe.write([there.subarray(0, 10), there.subarray(10)])
  b.pipe.write([back])
  await until(() => b.arrived() === there.length && a.arrived() === back.length)
  t.true(Buffer.concat(b.got).equals(there))
  t.true(Buffer.concat(a.got).equals(back))
  for (const { pipe } of [a, b]) pipe.close()
})

test.serial('who sleeps is woken once for many messages, and who is awake not at all', async (t) => {
  const [a, b] = bothEnds()
  await until(() => b.isAsleep())
  for (let i = 0; i < 10; i++) a.pipe.write([Buffer.from([i])])
  t.is(b.wakings, 1)
  await until(() => b.arrived() === 10)
  t.deepEqual([...Buffer.concat(b.got)], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
  for (const { pipe } of [a, b]) pipe.close()
})

test.serial('what had been sent before the other end went is still taken', (t) => {
  const [a, b] = bothEnds()
  a.pipe.write([Buffer.from('last words')])
  b.pipe.drain()
  t.is(Buffer.concat(b.got).toString(), 'last words')
  for (const { pipe } of [a, b]) pipe.close()
})
