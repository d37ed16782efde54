import test from 'ava'
import fc from 'fast-check'
import { FrameReader, frameMessage } from './local-stream.js'

const frame = fc.uint8Array({ maxLength: 300 })
const message = fc.record({ bytes: frame, attachments: fc.array(frame, { maxLength: 4 }) })

test('messages come out whole and in order however the stream is cut', (t) => {
  fc.assert(
    fc.property(
      fc.array(message, { minLength: 1, maxLength: 6 }),
      fc.array(fc.integer({ min: 1, max: 400 })),
      (sent, cuts) => {
        const stream = Buffer.concat(sent.flatMap((packet) => frameMessage([packet])))
        const received: Uint8Array[][] = []
        const reader = new FrameReader((frames) => received.push(frames.map((part) => Uint8Array.from(part))))
        let at = 0
        for (const cut of [...cuts, stream.length]) {
          reader.push(stream.subarray(at, at + cut))
          at = Math.min(stream.length, at + cut)
        }
        t.deepEqual(
          received,
          sent.map(({ bytes, attachments }) => [bytes, ...attachments]),
        )
      },
    ),
  )
})

test('attachments have memory of their own, aligned for every typed array', (t) => {
  const attachment = new Uint8Array(Float64Array.of(1, 2, 3).buffer)
  const pieces = Buffer.concat(frameMessage([{ bytes: Uint8Array.of(1, 2, 3), attachments: [attachment, attachment] }]))
  const reader = new FrameReader(([, first, second]) => {
    t.is(first!.byteOffset, 0)
    t.deepEqual([...new Float64Array(second!.buffer, second!.byteOffset, 3)], [1, 2, 3])
  })
  reader.push(pieces)
  t.plan(2)
})

test('a message above the limit is refused before it has come', (t) => {
  const reader = new FrameReader(() => t.fail())
  reader.limit = 100
  const [head] = frameMessage([{ bytes: new Uint8Array(60), attachments: [new Uint8Array(60)] }])
  t.throws(() => reader.push(Buffer.from(head!)), { instanceOf: RangeError, message: /120 bytes, where 100/ })
})
