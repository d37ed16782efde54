import test from 'ava'
import { bytesOfRows } from './data-type.js'
import { PACKED_TYPES, PackedWeight } from './packed-weight.js'
import { Tensor } from './tensor.js'
import { Random } from './testing/random.js'
import { Trace } from './trace.js'

const COLUMNS = 64

/** Random bytes in which no number and no scale is infinite or NaN. */
function weight(random: Random, type: (typeof PACKED_TYPES)[number], rows: number): Tensor {
  const tensor = Tensor.zeros(type, [rows, COLUMNS])
  const { bytes } = tensor
  for (let i = 0; i < bytes.length; i++) bytes[i] = random.below(256) & 0xbf
  return tensor
}

test('products and lookups of a packed weight have the bits of those of the stored one, however it was filled', async (t) => {
  const random = new Random(7)
  for (const type of PACKED_TYPES) {
    for (const rows of [1, 16, 37, 50]) {
      const stored = weight(random, type, rows)
      const packed = new PackedWeight(type, [rows, COLUMNS])
      const rowBytes = bytesOfRows(type, 1, COLUMNS)
      for (let first = 0; first < rows; ) {
        const count = Math.min(rows - first, 16 * random.from(1, 3))
        packed.set(stored.bytes.subarray(first * rowBytes, (first + count) * rowBytes), first)
        first += count
      }
      const trace = new Trace()
      const tokens = trace.symbol('tokens', 20)
      const x = trace.input('x', tokens, COLUMNS, 'float32')
      const ids = trace.input('ids', tokens)
      const outputs = [stored, packed].map((each) => {
        const constant = trace.constant(each)
        return { y: trace.linear(x, constant), row: trace.embedding(ids, constant) }
      })
      const [plain, fast] = outputs
      const program = trace.compile(
        { plainY: plain!.y, y: fast!.y, plainRow: plain!.row, row: fast!.row },
        { threads: 2 },
      )
      for (const count of [1, 2, 3, 9, 20]) {
        program.inputs.x!.set(Array.from({ length: count * COLUMNS }, () => random.number()))
        program.inputs.ids!.set(Array.from({ length: count }, () => random.below(rows)))
        await program.run({ tokens: count })
        const bits = (name: string, columns: number) =>
          new Uint32Array(program.outputs[name]!.data.slice(0, count * columns).buffer)
        t.deepEqual(bits('y', rows), bits('plainY', rows), `${type}, ${rows} rows, ${count} tokens`)
        t.deepEqual(bits('row', COLUMNS), bits('plainRow', COLUMNS), `${type}, ${rows} rows, looked up`)
      }
    }
  }
})

test('rows that are no whole rows, begin between tiles, or lie outside of the weight are refused, and so is another use of it', (t) => {
  const packed = new PackedWeight('q8_0', [40, COLUMNS])
  const rowBytes = bytesOfRows('q8_0', 1, COLUMNS)
  for (const [bytes, first] of [
    [rowBytes + 1, 0],
    [16 * rowBytes, 8],
    [16 * rowBytes, 32],
    [5 * rowBytes, 16],
    [16 * rowBytes, -16],
    [16 * rowBytes, 48],
  ] as const) {
    t.throws(() => packed.set(new Uint8Array(bytes), first), { instanceOf: RangeError, message: /expected/ })
  }
  t.throws(() => new PackedWeight('q8_0', [4, 33]), { instanceOf: RangeError })
  t.throws(() => new PackedWeight('q4_k' as 'q8_0', [4, 256]), { instanceOf: TypeError, message: /q4_k.*packed/ })
  const trace = new Trace()
  const value = trace.constant(packed)
  const x = trace.input('x', 40, COLUMNS, 'float32')
  t.throws(() => trace.add(x, value), { instanceOf: TypeError })
  const floats = trace.constant(new PackedWeight('float32', [40, COLUMNS]))
  t.throws(() => trace.add(x, floats), {
    message: /expected a matrix that is not packed, found packed float32 \[40, 64\]/,
  })
})
