import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { InvalidInputError } from '@troupe/core'
import test from 'ava'
import { temporaryFolder, writeSafetensors } from '../testing/files.js'
import { Checkpoint } from './checkpoint.js'
import { fromBfloat16, fromFloat16 } from './half.js'

const floats = Float32Array.from({ length: 35 }, (_, i) => i / 4)
const matrix = { dtype: 'F32', shape: [5, 7], bytes: new Uint8Array(floats.buffer) }
// 1.5 and -2 in both half formats.
const halves = (bits: number[]) => new Uint8Array(Uint16Array.from(bits).buffer)

test('any slice of a matrix holds exactly its elements, and only its bytes are counted', (t) => {
  const folder = temporaryFolder(t)
  writeSafetensors(join(folder, 'model.safetensors'), { w: matrix })
  for (const rows of [
    { start: 0, end: 5 },
    { start: 2, end: 3 },
    { start: 4, end: 4 },
  ]) {
    for (const columns of [
      { start: 0, end: 7 },
      { start: 3, end: 6 },
    ]) {
      const checkpoint = new Checkpoint(folder)
      const slice = checkpoint.matrix('w', [5, 7], { rows, columns })
      const expected: number[] = []
      for (let row = rows.start; row < rows.end; row++) {
        for (let column = columns.start; column < columns.end; column++) expected.push(floats[row * 7 + column]!)
      }
      t.deepEqual([...(slice.data as Float32Array)], expected)
      t.is(checkpoint.loadedBytes, expected.length * 4)
      checkpoint.close()
    }
  }
})

test('a slice that two layers share is loaded once', (t) => {
  const folder = temporaryFolder(t)
  writeSafetensors(join(folder, 'model.safetensors'), { w: matrix })
  const checkpoint = new Checkpoint(folder)
  t.is(checkpoint.matrix('w', [5, 7]), checkpoint.matrix('w', [5, 7]))
  t.is(checkpoint.loadedBytes, 140)
  checkpoint.close()
})

test('vectors of every weight type widen to float32', (t) => {
  const folder = temporaryFolder(t)
  writeSafetensors(join(folder, 'model.safetensors'), {
    full: { dtype: 'F32', shape: [2], bytes: new Uint8Array(Float32Array.of(1.5, -2).buffer) },
    half: { dtype: 'F16', shape: [2], bytes: halves([0x3e00, 0xc000]) },
    brain: { dtype: 'BF16', shape: [2], bytes: halves([0x3fc0, 0xc000]) },
  })
  const checkpoint = new Checkpoint(folder)
  for (const name of ['full', 'half', 'brain']) t.deepEqual([...checkpoint.vector(name, 2).data], [1.5, -2])
  t.deepEqual([...checkpoint.vector('half', 2, { start: 1, end: 2 }).data], [-2])
  checkpoint.close()
})

test('half formats widen to their values at the edges', (t) => {
  t.is(fromFloat16(0x0001), 2 ** -24)
  t.is(fromFloat16(0x7bff), 65504)
  t.is(fromFloat16(0xfc00), Number.NEGATIVE_INFINITY)
  t.true(Number.isNaN(fromFloat16(0x7e00)))
  t.is(fromBfloat16(0x0001), 2 ** -133)
})

test('weights in several files are found through their index', (t) => {
  const folder = temporaryFolder(t)
  writeSafetensors(join(folder, 'one.safetensors'), { a: matrix })
  writeSafetensors(join(folder, 'two.safetensors'), { b: matrix })
  const index = { weight_map: { a: 'one.safetensors', b: 'two.safetensors' } }
  writeFileSync(join(folder, 'model.safetensors.index.json'), JSON.stringify(index))
  const checkpoint = new Checkpoint(folder)
  t.true(checkpoint.has('a') && checkpoint.has('b') && !checkpoint.has('c'))
  checkpoint.close()

  const missing = { weight_map: { a: 'one.safetensors', b: 'three.safetensors' } }
  writeFileSync(join(folder, 'model.safetensors.index.json'), JSON.stringify(missing))
  t.throws(() => new Checkpoint(folder), {
    instanceOf: InvalidInputError,
    message: /three\.safetensors.*does not exist/,
  })
})

test('a tensor that is missing, of another shape or of another type is named', (t) => {
  const folder = temporaryFolder(t)
  t.throws(() => new Checkpoint(folder), { instanceOf: InvalidInputError, message: /neither model\.safetensors nor/ })
  writeSafetensors(join(folder, 'model.safetensors'), {
    w: matrix,
    long: { dtype: 'F64', shape: [1], bytes: new Uint8Array(8) },
  })
  const checkpoint = new Checkpoint(folder)
  t.throws(() => checkpoint.matrix('v', [5, 7]), { instanceOf: InvalidInputError, message: /lack the tensor v/ })
  t.throws(() => checkpoint.matrix('w', [7, 5]), {
    instanceOf: InvalidInputError,
    message: /tensor w has shape \[5,7\], but config\.json makes it \[7,5\]/,
  })
  t.throws(() => checkpoint.vector('long', 1), { instanceOf: InvalidInputError, message: /tensor long has dtype F64/ })
  checkpoint.close()
})
