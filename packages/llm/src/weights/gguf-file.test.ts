import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { InvalidInputError } from '@troupe/core'
import test from 'ava'
import { openDamaged } from '../testing/damage.js'
import { temporaryFolder } from '../testing/files.js'
import { type GgufContent, gguf } from '../testing/gguf.js'
import { GgufFile } from './gguf-file.js'

const data = Uint8Array.from({ length: 48 }, (_, i) => i)
const sound: GgufContent = {
  metadata: {
    'general.architecture': { string: 'llama' },
    'llama.block_count': { uint32: 2 },
    'llama.rope.freq_base': { float32: 10_000 },
    'tokenizer.ggml.add_bos_token': { bool: true },
    'tokenizer.ggml.tokens': { strings: ['<s>', '▁a', 'b'] },
    'tokenizer.ggml.scores': { float32s: [0, -1, -2] },
    'tokenizer.ggml.token_type': { int32s: [3, 1, 1] },
  },
  tensors: [
    { name: 'a', format: 'F32', shape: [2, 3], bytes: data.subarray(0, 24) },
    { name: 'b', format: 'Q8_0', shape: [1, 32], bytes: data.subarray(0, 34) },
  ],
}

test('the metadata and tensors of a sound file are found with their types, shapes and bytes', (t) => {
  const path = join(temporaryFolder(t), 'model.gguf')
  writeFileSync(path, gguf(sound))
  const file = new GgufFile(path)
  t.deepEqual(Object.fromEntries(file.metadata), {
    'general.architecture': 'llama',
    'llama.block_count': 2,
    'llama.rope.freq_base': 10_000,
    'tokenizer.ggml.add_bos_token': true,
    'tokenizer.ggml.tokens': ['<s>', '▁a', 'b'],
    'tokenizer.ggml.scores': [0, -1, -2],
    'tokenizer.ggml.token_type': [3, 1, 1],
  })
  t.like(file.tensors.get('a'), { format: 'F32', shape: [2, 3] })
  const b = file.tensors.get('b')!
  t.deepEqual(file.file.map(b.start, b.end - b.start).bytes, data.slice(0, 34))
  file.close()
})

/** The sound file with the 8 bytes of a count or size replaced, which follow `before`. */
function withCount(before: string, count: bigint): Uint8Array {
  const bytes = Buffer.from(gguf(sound))
  const at = bytes.indexOf(before)
  if (at < 0) throw new Error(`no ${before} in the file`)
  bytes.writeBigUInt64LE(count, at + before.length)
  return bytes
}

const tensorB = (changes: object): Uint8Array =>
  gguf({ ...sound, tensors: [sound.tensors![0]!, { ...sound.tensors![1]!, ...changes }] })
const key = 'tokenizer.ggml.tokens\t\0\0\0\b\0\0\0'

const unsound: Record<string, [bytes: Uint8Array, says: RegExp]> = {
  'an empty file': [new Uint8Array(), /is not a GGUF file/],
  'another format': [Buffer.from('PK\x03\x04 and so on'), /is not a GGUF file/],
  'an older version': [gguf({ ...sound, version: 1 }), /of version 1; expected version 3/],
  'a header that is cut short': [gguf(sound).subarray(0, 100), /ends at byte 100|more than its 100 bytes/],
  'data that is cut short': [gguf(sound).subarray(0, -48), /tensor b ends at \d+, but the file has/],
  'a tensor count that lies': [withCount('GGUF\x03\0\0\0', 2n ** 60n), /claims 1152921504606846976 tensors/],
  'a metadata count that lies': [withCount('GGUF\x03\0\0\0\x02\0\0\0\0\0\0\0', 10n ** 6n), /1000000 metadata entries/],
  'a text length that lies': [withCount('general.architecture\b\0\0\0', 2n ** 40n), /bytes of metadata general\.arch/],
  'an array length that lies': [withCount(key, 2n ** 33n), /8589934592 elements of metadata tokenizer\.ggml\.tokens/],
  'an array of arrays': [
    Buffer.from(gguf(sound)).fill(9, ...at(key, key.length - 4, 1)),
    /is an array of the unknown type 9/,
  ],
  'a metadata type that is unknown': [
    Buffer.from(gguf(sound)).fill(77, ...at('block_count', 'block_count'.length, 1)),
    /metadata llama\.block_count is of the unknown type 77/,
  ],
  'a truth value that is neither': [
    Buffer.from(gguf(sound)).fill(2, ...at('add_bos_token', 'add_bos_token'.length + 4, 1)),
    /holds 2 where true or false was expected/,
  ],
  'text that is not UTF-8': [
    Buffer.from(gguf(sound)).fill(0xff, ...at('▁a', 0, 1)),
    /metadata tokenizer\.ggml\.tokens is not UTF-8/,
  ],
  'a key that comes twice': [
    Buffer.from(gguf(sound)).fill('tokenizer.ggml.tokens', ...at('tokenizer.ggml.scores', 0, 21)),
    /metadata tokenizer\.ggml\.tokens is there twice/,
  ],
  'a tensor that comes twice': [tensorB({ name: 'a' }), /tensor a is there twice/],
  'a tensor without dimensions': [tensorB({ shape: [] }), /tensor b has 0 dimensions/],
  'a tensor of too many dimensions': [tensorB({ shape: [1, 1, 1, 1, 32] }), /tensor b has 5 dimensions/],
  'a dimension of nothing': [tensorB({ shape: [0, 32] }), /impossible shape \[32,0\]/],
  'absurd dimensions': [tensorB({ shape: [2 ** 52, 2 ** 52] }), /impossible shape/],
  'rows that are no whole blocks': [tensorB({ shape: [2, 16] }), /rows of 16, which are no whole blocks of Q8_0/],
  'a tensor larger than the file': [tensorB({ shape: [2 ** 20, 32] }), /takes 35651584 bytes/],
  'an offset outside the file': [tensorB({ offset: 2 ** 40 }), /at 1099511627776, but the file has/],
  'an offset that reaches outside the file': [tensorB({ offset: 128 }), /tensor b ends at \d+, but the file has/],
  'an offset off its alignment': [tensorB({ offset: 33 }), /at 33, which is no multiple of its alignment, 32/],
  'tensors that overlap': [tensorB({ offset: 0 }), /overlaps the tensor before it/],
  'an alignment that is no power of two': [
    gguf({ ...sound, metadata: { 'general.alignment': { uint32: 24 } } }),
    /general\.alignment is 24/,
  ],
  'an alignment that is no number': [
    gguf({ ...sound, metadata: { 'general.alignment': { string: '32' } } }),
    /general\.alignment is 32; expected a power/,
  ],
}

/** The bytes `count` from `skip` behind the start of a text in the sound file. */
function at(text: string, skip: number, count: number): [number, number] {
  const start = Buffer.from(gguf(sound)).indexOf(text) + skip
  return [start, start + count]
}

for (const [name, [bytes, says]] of Object.entries(unsound)) {
  test(`${name} is refused with a message that names the file and the problem`, (t) => {
    const path = join(temporaryFolder(t), 'model.gguf')
    writeFileSync(path, bytes)
    const error = t.throws(() => new GgufFile(path), { instanceOf: InvalidInputError, message: says })
    t.true(error!.message.startsWith(path))
    t.false(error!.message.includes('\n'))
  })
}

test('a format that cannot be computed on is named by its number', (t) => {
  const path = join(temporaryFolder(t), 'model.gguf')
  const bytes = Buffer.from(tensorB({ format: 'Q4_0', bytes: data.subarray(0, 18) }))
  const entry = bytes.lastIndexOf('b\x02\0\0\0') // name, dimensions, two sizes, format
  bytes.writeUInt32LE(19, entry + 5 + 16)
  writeFileSync(path, bytes)
  t.throws(() => new GgufFile(path), {
    instanceOf: InvalidInputError,
    message: /tensor b is in ggml's format 19; supp/,
  })
})

test('a damaged file is read or refused, and never read outside of itself', (t) => {
  const path = join(temporaryFolder(t), 'model.gguf')
  const original = gguf(sound)
  openDamaged(path, original, original.length - 96, () => {
    const file = new GgufFile(path)
    for (const { start, end } of file.tensors.values()) file.file.map(start, end - start).bytes.at(-1)
    file.close()
  })
  t.pass()
})
