import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { InvalidInputError } from '@troupe/core'
import test, { type ExecutionContext } from 'ava'
import { temporaryFolder } from '../testing/files.js'
import { type GgufContent, gguf, type Typed } from '../testing/gguf.js'
import { GgufModel } from './gguf-model.js'

const tensor = (name: string, value: number): NonNullable<GgufContent['tensors']>[0] => ({
  name,
  format: 'F32',
  shape: [1],
  bytes: new Uint8Array(Float32Array.of(value).buffer),
})
const metadata: Record<string, Typed> = { 'general.architecture': { string: 'llama' } }
const split = (no: number, count = 3, tensors = 3): Record<string, Typed> => ({
  'split.no': { uint32: no },
  'split.count': { uint32: count },
  'split.tensors.count': { uint32: tensors },
})
const parts: GgufContent[] = [
  { metadata: { ...metadata, ...split(0) } },
  { metadata: split(1), tensors: [tensor('a', 1), tensor('b', 2)] },
  { metadata: split(2), tensors: [tensor('c', 3)] },
]

function write(t: ExecutionContext, contents: readonly GgufContent[] = parts): string[] {
  const folder = temporaryFolder(t)
  return contents.map((content, index) => {
    const path = join(folder, `m.q8-0000${index + 1}-of-00003.gguf`)
    writeFileSync(path, gguf(content))
    return path
  })
}

test('a model in parts is whole whichever part is named, also where the first has no tensors', (t) => {
  for (const path of write(t)) {
    const model = new GgufModel(path)
    t.is(model.metadata.get('general.architecture'), 'llama')
    const values = [...model.tensors].map(([name, { file, start, end }]) => {
      const bytes = new Uint8Array(end - start)
      file.read(bytes, start)
      return [name, new Float32Array(bytes.buffer)[0]]
    })
    t.deepEqual(Object.fromEntries(values), { a: 1, b: 2, c: 3 })
    model.close()
  }
})

test('a part that is missing is named, and so is a part under a name that does not say which it is', (t) => {
  const [first, second, third] = write(t)
  rmSync(second!)
  rmSync(third!)
  const says = /part 1 of 3 of a model; m\.q8-00002-of-00003\.gguf, m\.q8-00003-of-00003\.gguf is missing beside it/
  t.throws(() => new GgufModel(first!), { instanceOf: InvalidInputError, message: says })
  const renamed = join(temporaryFolder(t), 'model.gguf')
  writeFileSync(renamed, gguf(parts[1]!))
  t.throws(() => new GgufModel(renamed), {
    instanceOf: InvalidInputError,
    message: /is part 2 of 3 of a model; name the parts NAME-00001-of-00003\.gguf to NAME-00003-of-00003\.gguf/,
  })
})

test('parts of other models, parts with a tensor twice, and too few tensors are refused', (t) => {
  const refused: [parts: GgufContent[], says: RegExp][] = [
    [[parts[0]!, parts[2]!, parts[2]!], /00002-of-00003\.gguf is not part 2 of 3 of the model/],
    [[parts[0]!, parts[1]!, { ...parts[2]!, metadata: {} }], /00003-of-00003\.gguf is not part 3 of 3/],
    [[parts[0]!, parts[1]!, { ...parts[2]!, tensors: [tensor('a', 3)] }], /tensor a is in another part too/],
    [[parts[0]!, parts[1]!, { metadata: split(2) }], /3 parts have 2 tensors together, and should have 3/],
    [[{ metadata: split(7) }], /it says that it is part 8 of 3/],
    [[{ metadata: { 'split.count': { string: 'two' } } }], /split\.count is two; expected a whole number/],
  ]
  for (const [contents, says] of refused) {
    const [first] = write(t, contents)
    t.throws(() => new GgufModel(first!), { instanceOf: InvalidInputError, message: says })
  }
})
