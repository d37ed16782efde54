import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { InvalidInputError } from '@troupe/core'
import test from 'ava'
import { openDamaged } from '../testing/damage.js'
import { safetensors, temporaryFolder } from '../testing/files.js'
import { SafetensorsFile } from './safetensors.js'

const sound = {
  __metadata__: { format: 'pt' },
  a: { dtype: 'F32', shape: [2, 2], data_offsets: [0, 16] },
  b: { dtype: 'BF16', shape: [3], data_offsets: [16, 22] },
}
const data = Uint8Array.from({ length: 22 }, (_, i) => i)

test('the tensors of a sound file are found with their types, shapes and bytes', (t) => {
  const path = join(temporaryFolder(t), 'model.safetensors')
  writeFileSync(path, safetensors(sound, data))
  const file = new SafetensorsFile(path)
  t.deepEqual([...file.tensors.keys()], ['a', 'b'])
  const b = file.tensors.get('b')!
  t.like(b, { type: 'BF16', shape: [3] })
  const bytes = new Uint8Array(6)
  file.file.read(bytes, b.start)
  t.deepEqual([...bytes], [16, 17, 18, 19, 20, 21])
  file.file.close()
})

const unsound: Record<string, [bytes: Uint8Array, says: RegExp]> = {
  'an empty file': [new Uint8Array(), /found only 0 bytes/],
  'a header longer than the file': [safetensors(sound).subarray(0, 40), /claims \d+ bytes, but the file has 40/],
  'data that is cut short': [safetensors(sound, data.subarray(0, 21)), /describes \d+ bytes, but the file has/],
  'bytes after the last tensor': [safetensors(sound, new Uint8Array(23)), /describes \d+ bytes, but the file has/],
  'a header that is not JSON': [safetensors('{"a": ', data), /not JSON/],
  'a header that is a list': [safetensors([], data), /not a JSON object/],
  'a header of invalid UTF-8': [safetensors('{}').fill(0xff, 8), /not JSON/],
  'an unknown dtype': [safetensors({ a: { dtype: 'Q9', shape: [1], data_offsets: [0, 4] } }, data), /tensor a .* "Q9"/],
  'a negative dimension': [
    safetensors({ a: { dtype: 'F32', shape: [-1], data_offsets: [0, 4] } }, data),
    /impossible shape/,
  ],
  'an absurd dimension': [
    safetensors({ a: { dtype: 'F32', shape: [2 ** 52, 4], data_offsets: [0, 22] } }, data),
    /takes \d+ bytes, but its data_offsets/,
  ],
  'a shape that does not match the bytes': [
    safetensors({ a: { dtype: 'F32', shape: [5], data_offsets: [0, 22] } }, data),
    /takes 20 bytes, but its data_offsets \[0,22\] span 22/,
  ],
  'offsets outside the file': [
    safetensors({ a: { dtype: 'F32', shape: [100], data_offsets: [0, 400] } }, data),
    /describes \d+ bytes, but the file has/,
  ],
  'offsets that run backwards': [
    safetensors({ a: { dtype: 'F32', shape: [1], data_offsets: [8, 4] } }, data),
    /span -4/,
  ],
  'tensors that overlap': [
    safetensors(
      {
        a: { dtype: 'U8', shape: [12], data_offsets: [0, 12] },
        b: { dtype: 'U8', shape: [12], data_offsets: [10, 22] },
      },
      data,
    ),
    /tensor b overlaps/,
  ],
  'a hole between tensors': [
    safetensors(
      {
        a: { dtype: 'U8', shape: [10], data_offsets: [0, 10] },
        b: { dtype: 'U8', shape: [10], data_offsets: [12, 22] },
      },
      data,
    ),
    /tensor b leaves a hole/,
  ],
  'an entry that is no object': [safetensors({ a: null }, data), /tensor a has the unknown dtype/],
}

for (const [name, [bytes, says]] of Object.entries(unsound)) {
  test(`${name} is refused with a message that names the file and the problem`, (t) => {
    const path = join(temporaryFolder(t), 'model.safetensors')
    writeFileSync(path, bytes)
    const error = t.throws(() => new SafetensorsFile(path), { instanceOf: InvalidInputError, message: says })
    t.true(error!.message.startsWith(path))
    t.false(error!.message.includes('\n'))
  })
}

test('a damaged file is read or refused, and never read outside of itself', (t) => {
  const path = join(temporaryFolder(t), 'model.safetensors')
  const original = safetensors(sound, data)
  openDamaged(path, original, original.length - data.length, () => {
    const { tensors, file } = new SafetensorsFile(path)
    for (const { start, end } of tensors.values()) file.map(start, end - start).bytes.at(-1)
    file.close()
  })
  t.pass()
})
