import { PassThrough, Writable } from 'node:stream'
import { text } from 'node:stream/consumers'
import test from 'ava'
import { LineWriter } from './line-writer.js'

const line = (index: number) => `${index} ${'x'.repeat(1000)}`

test('of lines that nobody reads the oldest are dropped, counted, and the latest kept', async (t) => {
  const stream = new PassThrough({ highWaterMark: 1000 })
  const writer = new LineWriter(stream, 100_000)
  for (let index = 0; index < 10_000; index++) writer.write(line(index))
  t.true(stream.readableLength + stream.writableLength < 100_000)
  const written = text(stream)
  await writer.flush()
  stream.end()
  const lines = (await written).trimEnd().split('\n')
  const numbers = lines.flatMap((found) => (/^\d/.test(found) ? [Number.parseInt(found, 10)] : []))
  const [, dropped] = /\((\d+) lines were left out/.exec(lines.join('\n')) ?? []
  t.is(numbers.length + Number(dropped), 10_000)
  t.is(numbers.at(-1), 9999)
  t.deepEqual(
    numbers,
    numbers.toSorted((a, b) => a - b),
  )
})

test('a reader that has gone is no failure of who writes', async (t) => {
  const stream = new Writable({
    write: (_chunk, _encoding, done) => setImmediate(() => done(Object.assign(new Error('gone'), { code: 'EPIPE' }))),
  })
  const writer = new LineWriter(stream)
  writer.write('first')
  await new Promise<void>((resolve) => {
    stream.once('close', resolve)
  })
  t.true(stream.errored instanceof Error)
  writer.write('second')
  await writer.flush()
})

test('nothing is dropped for a reader that lags, and an end does not wait for one that never reads', async (t) => {
  const stream = new PassThrough({ highWaterMark: 1000 })
  const writer = new LineWriter(stream)
  for (let index = 0; index < 500; index++) writer.write(line(index))
  await writer.flush()
  const written = text(stream)
  await writer.flush()
  stream.end()
  t.is((await written).split('\n').length, 501)
})
