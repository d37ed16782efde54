import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { blockOf, bytesOfRows } from './data-type.js'
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

function fileOf(t: ExecutionContext, bytes: Uint8Array): number {
  const folder = mkdtempSync(join(tmpdir(), 'troupe-test-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const path = join(folder, 'weights')
  writeFileSync(path, bytes)
  const fd = openSync(path, 'r')
  t.teardown(() => closeSync(fd))
  return fd
}

test('rows and columns that are read from a file, in any order and by any number of threads, are packed as they are when set', async (t) => {
  const random = new Random(11)
  for (const type of PACKED_TYPES) {
    const { elements } = blockOf(type)
    for (const [rows, columns] of [
      [0, 32],
      [1, 32],
      [37, 96],
      [1500, 256],
    ] as const) {
      const stored = { rows: rows + 5, columns: columns + 2 * elements }
      const stride = bytesOfRows(type, 1, stored.columns)
      const bytes = Uint8Array.from({ length: 7 + stored.rows * stride }, () => random.below(256) & 0x3f)
      const fd = fileOf(t, bytes)
      const offset = 7 + bytesOfRows(type, 1, elements)
      const rowBytes = bytesOfRows(type, 1, columns)
      const mixed = Uint32Array.from({ length: rows }, (_, i) => (i * 3 + 2) % stored.rows)
      for (const order of [undefined, mixed]) {
        const expected = new PackedWeight(type, [rows, columns])
        const inOrder = new Uint8Array(rows * rowBytes)
        for (let row = 0; row < rows; row++) {
          const start = offset + (order?.[row] ?? row) * stride
          inOrder.set(bytes.subarray(start, start + rowBytes), row * rowBytes)
        }
        expected.set(inOrder, 0)
        for (const threads of [1, 3]) {
          const found = new PackedWeight(type, [rows, columns])
          t.is(await found.setFrom({ fd, offset, stride, ...(order ? { order } : {}) }, threads), -1)
          const isSame = Buffer.compare(found.packed.bytes, expected.packed.bytes) === 0
          t.true(isSame, `${type} [${rows}, ${columns}], ${threads} threads`)
        }
      }
    }
  }
})

test('the first scale of a file that is no finite number is told, and a file that ends before, or an order of other rows, is an error', async (t) => {
  const [rows, columns] = [600, 512]
  for (const type of ['q8_0', 'q4_0'] as const) {
    const bytes = new Uint8Array(bytesOfRows(type, rows, columns))
    const { bytes: blockBytes, elements } = blockOf(type)
    const perRow = columns / elements
    for (const block of [0, 17 * perRow + 3, 599 * perRow + 15]) {
      bytes.set([0, 0xfc], block * blockBytes)
    }
    const stride = bytesOfRows(type, 1, columns)
    const fd = fileOf(t, bytes)
    const packed = () => new PackedWeight(type, [rows, columns])
    t.is(await packed().setFrom({ fd, offset: 0, stride }, 2), 0)
    const after = new PackedWeight(type, [rows - 1, columns])
    t.is(await after.setFrom({ fd, offset: stride, stride }, 2), 16 * perRow + 3)
    await t.throwsAsync(packed().setFrom({ fd, offset: stride, stride }, 2), { message: /expected .* found its end/ })
    await t.throwsAsync(packed().setFrom({ fd, offset: 0, stride, order: new Uint32Array(3) }), { message: /order/ })
    t.throws(() => packed().setFrom({ fd, offset: -1, stride }), { instanceOf: RangeError })
  }
})
