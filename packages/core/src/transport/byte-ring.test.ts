import test from 'ava'
import fc from 'fast-check'
import { ByteRing } from './shared-pipe.js'

const CAPACITY = 64

function ringPair(): [writer: ByteRing, reader: ByteRing] {
  const memory = new ArrayBuffer(ByteRing.footprint(CAPACITY))
  return [new ByteRing(memory, 0, CAPACITY), new ByteRing(memory, 0, CAPACITY)]
}

test('bytes come out as they went in, however writes and reads alternate and the counters wrap', (t) => {
  const steps = fc.array(fc.oneof(fc.uint8Array({ maxLength: 3 * CAPACITY }), fc.constant('read' as const)))
  fc.assert(
    fc.property(steps, fc.integer(), (actions, start) => {
      const memory = new ArrayBuffer(ByteRing.footprint(CAPACITY))
      // As if many bytes had gone through it before.
      const control = new Int32Array(memory, 0, 32)
      control[0] = start
      control[16] = start
      const [writer, reader] = [new ByteRing(memory, 0, CAPACITY), new ByteRing(memory, 0, CAPACITY)]
      const sent: number[] = []
      const received: number[] = []
      const read = () => reader.read((piece) => received.push(...piece))
      for (const action of actions) {
        if (action === 'read') read()
        else sent.push(...action.subarray(0, writer.write(action)))
      }
      while (read());
      t.deepEqual(received, sent)
      t.true(reader.isEmpty)
    }),
  )
})

test('a full ring takes nothing until it has been read from', (t) => {
  const [writer, reader] = ringPair()
  t.is(writer.write(new Uint8Array(CAPACITY + 1)), CAPACITY)
  t.true(writer.isFull)
  t.is(writer.write(new Uint8Array(1)), 0)
  t.true(reader.read(() => {}))
  t.is(writer.write(new Uint8Array(1)), 1)
})

test('of those who find the reader asleep only one wakes it', (t) => {
  const [writer, reader] = ringPair()
  t.false(writer.claimWaking())
  reader.isAsleep = true
  t.true(writer.claimWaking())
  t.false(writer.claimWaking())
})
