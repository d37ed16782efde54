import { truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { InvalidInputError } from '@troupe/core'
import { Trace } from '@troupe/tensor'
import test from 'ava'
import { openCheckpoint } from '../models/open-checkpoint.js'
import { temporaryFolder, writeSafetensors } from '../testing/files.js'
import { gguf } from '../testing/gguf.js'
import { dequantize } from './dequantize.js'
import { fromFloat16, toFloat16 } from './half.js'
import { Weights } from './weights.js'

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
      const checkpoint = openCheckpoint(folder)
      const weights = new Weights(checkpoint)
      const slice = weights.matrix('w', [5, 7], { rows, columns })
      const expected: number[] = []
      for (let row = rows.start; row < rows.end; row++) {
        for (let column = columns.start; column < columns.end; column++) expected.push(floats[row * 7 + column]!)
      }
      t.deepEqual([...(slice.data as Float32Array)], expected)
      t.is(weights.loadedBytes, expected.length * 4)
      checkpoint.close()
    }
  }
})

test('a slice that two layers share is loaded once', (t) => {
  const folder = temporaryFolder(t)
  writeSafetensors(join(folder, 'model.safetensors'), { w: matrix })
  const checkpoint = openCheckpoint(folder)
  const weights = new Weights(checkpoint)
  t.is(weights.matrix('w', [5, 7]), weights.matrix('w', [5, 7]))
  t.is(weights.loadedBytes, 140)
  checkpoint.close()
})

test('vectors of every weight type widen to float32', (t) => {
  const folder = temporaryFolder(t)
  writeSafetensors(join(folder, 'model.safetensors'), {
    full: { dtype: 'F32', shape: [2], bytes: new Uint8Array(Float32Array.of(1.5, -2).buffer) },
    half: { dtype: 'F16', shape: [2], bytes: halves([0x3e00, 0xc000]) },
    brain: { dtype: 'BF16', shape: [2], bytes: halves([0x3fc0, 0xc000]) },
  })
  const checkpoint = openCheckpoint(folder)
  const weights = new Weights(checkpoint)
  for (const name of ['full', 'half', 'brain']) t.deepEqual([...weights.vector(name, 2).data], [1.5, -2])
  t.deepEqual([...weights.vector('half', 2, { start: 1, end: 2 }).data], [-2])
  checkpoint.close()
})

test('half formats widen to their values at the edges', (t) => {
  t.is(fromFloat16(0x0001), 2 ** -24)
  t.is(fromFloat16(0x7bff), 65504)
  t.is(fromFloat16(0xfc00), Number.NEGATIVE_INFINITY)
  t.true(Number.isNaN(fromFloat16(0x7e00)))
  t.deepEqual([...dequantize('BF16', halves([0x0001, 0xff80]))], [2 ** -133, Number.NEGATIVE_INFINITY])
})

test('every half that is a number narrows to itself, and what lies between goes to the nearer, ties to even', (t) => {
  for (let bits = 0; bits < 0x7c00; bits++) {
    const [value, next] = [fromFloat16(bits), fromFloat16(bits + 1)]
    if (toFloat16(value) !== bits || toFloat16(-value) !== (bits | 0x8000)) t.fail(`${bits}`)
    const tie = Math.fround((value + Math.min(next, 65536)) / 2)
    if (toFloat16(tie) !== bits + (bits % 2)) t.fail(`tie after ${bits}`)
    if (toFloat16(tie * (1 - 2 ** -20)) !== bits && value > 0) t.fail(`below the tie after ${bits}`)
  }
  t.is(toFloat16(1e-30), 0)
  t.is(toFloat16(1e30), 0x7c00)
  t.is(toFloat16(Number.NEGATIVE_INFINITY), 0xfc00)
  t.is(toFloat16(Number.NaN), 0x7e00)
})

test('weights in several files are found through their index', (t) => {
  const folder = temporaryFolder(t)
  writeSafetensors(join(folder, 'one.safetensors'), { a: matrix })
  writeSafetensors(join(folder, 'two.safetensors'), { b: matrix })
  const index = { weight_map: { a: 'one.safetensors', b: 'two.safetensors' } }
  writeFileSync(join(folder, 'model.safetensors.index.json'), JSON.stringify(index))
  const checkpoint = openCheckpoint(folder)
  t.true(checkpoint.find('a').file.path.endsWith('one.safetensors'))
  t.true(checkpoint.find('b').file.path.endsWith('two.safetensors'))
  checkpoint.close()

  const missing = { weight_map: { a: 'one.safetensors', b: 'three.safetensors' } }
  writeFileSync(join(folder, 'model.safetensors.index.json'), JSON.stringify(missing))
  t.throws(() => openCheckpoint(folder), {
    instanceOf: InvalidInputError,
    message: /three\.safetensors.*does not exist/,
  })
})

test('a tensor that is missing, of another shape or of another type is named', (t) => {
  const folder = temporaryFolder(t)
  t.throws(() => openCheckpoint(folder), { instanceOf: InvalidInputError, message: /neither model\.safetensors nor/ })
  writeSafetensors(join(folder, 'model.safetensors'), {
    w: matrix,
    long: { dtype: 'F64', shape: [1], bytes: new Uint8Array(8) },
  })
  const checkpoint = openCheckpoint(folder)
  const weights = new Weights(checkpoint)
  t.throws(() => weights.matrix('v', [5, 7]), { instanceOf: InvalidInputError, message: /lack the tensor v/ })
  t.throws(() => weights.matrix('w', [7, 5]), {
    instanceOf: InvalidInputError,
    message: /tensor w has shape \[5,7\], but config\.json makes it \[7,5\]/,
  })
  t.throws(() => weights.vector('long', 1), { instanceOf: InvalidInputError, message: /tensor long has dtype F64/ })
  checkpoint.close()
})

const WIDTH = 512
const wide = new Uint8Array(Float32Array.from({ length: WIDTH * WIDTH }, () => 1).buffer)

/** A model of two matrices and a vector in each format, and where the file of its weights is. */
const models: Record<string, (folder: string) => { model: string; file: string }> = {
  safetensors(folder) {
    const file = join(folder, 'model.safetensors')
    const shaped = { dtype: 'F32', shape: [WIDTH, WIDTH], bytes: wide }
    const vector = { dtype: 'F32', shape: [WIDTH], bytes: wide.subarray(0, WIDTH * 4) }
    writeSafetensors(file, { first: shaped, second: shaped, vector })
    return { model: folder, file }
  },
  GGUF(folder) {
    const file = join(folder, 'model.gguf')
    const shaped = { format: 'F32' as const, shape: [WIDTH, WIDTH], bytes: wide }
    const vector = { format: 'F32' as const, shape: [WIDTH], bytes: wide.subarray(0, WIDTH * 4) }
    const tensors = [
      { name: 'token_embd.weight', ...shaped },
      { name: 'output.weight', ...shaped },
      { name: 'output_norm.weight', ...vector },
    ]
    const metadata = {
      'general.architecture': { string: 'llama' },
      'llama.context_length': { uint32: 128 },
      'llama.embedding_length': { uint32: WIDTH },
      'llama.block_count': { uint32: 1 },
      'llama.feed_forward_length': { uint32: 96 },
      'llama.attention.head_count': { uint32: 2 },
      'llama.attention.layer_norm_rms_epsilon': { float32: 2 ** -16 },
    }
    writeFileSync(file, gguf({ metadata, tensors }))
    return { model: file, file }
  },
}

for (const [format, write] of Object.entries(models)) {
  const [first, second, vector] =
    format === 'GGUF'
      ? ['model.embed_tokens.weight', 'lm_head.weight', 'model.norm.weight']
      : ['first', 'second', 'vector']

  test(`a ${format} file that is cut in the middle of a load is one error that names it`, (t) => {
    const { model, file } = write(temporaryFolder(t))
    const checkpoint = openCheckpoint(model)
    const weights = new Weights(checkpoint)
    weights.matrix(first!, [WIDTH, WIDTH])
    truncateSync(file, 4096)
    const cut = {
      instanceOf: InvalidInputError,
      message: /^\/.* was \d+ bytes when it was opened and is 4096 now; put it back and load it again$/,
    }
    const rows = { start: 1, end: 3 }
    const columns = { start: 2, end: 9 }
    t.throws(() => weights.matrix(second!, [WIDTH, WIDTH]), cut)
    t.throws(() => weights.matrix(second!, [WIDTH, WIDTH], { rows, columns }), cut)
    t.throws(() => new Weights(checkpoint, 'Q8_0').matrix(second!, [WIDTH, WIDTH]), cut)
    t.throws(() => weights.vector(vector!, WIDTH), cut)
    checkpoint.close()
  })

  test(`a ${format} file that is cut before products' weights are filled is one error that names it`, async (t) => {
    const { model, file } = write(temporaryFolder(t))
    const checkpoint = openCheckpoint(model)
    const weights = new Weights(checkpoint)
    weights.productWeight(first!, [WIDTH, WIDTH])
    await weights.ready()
    weights.productWeight(second!, [WIDTH, WIDTH])
    truncateSync(file, 4096)
    await t.throwsAsync(weights.ready(), {
      instanceOf: InvalidInputError,
      message: /^\/.* was \d+ bytes when it was opened and is 4096 now; put it back and load it again$/,
    })
    checkpoint.close()
  })

  test(`a ${format} file that is cut between load and run fails the run`, async (t) => {
    const { model, file } = write(temporaryFolder(t))
    const checkpoint = openCheckpoint(model)
    const weights = new Weights(checkpoint)
    const trace = new Trace()
    const x = trace.input('x', 1, WIDTH, 'float32')
    const y = trace.linear(x, trace.constant(weights.matrix(first!, [WIDTH, WIDTH])))
    const program = trace.compile({ y }, { threads: 2 })
    checkpoint.close()
    await program.run({})
    truncateSync(file, 4096)
    await t.throwsAsync(program.run({}), { message: /was \d+ bytes when it was opened and is 4096 now/ })
  })
}
