import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { InvalidInputError } from '@troupe/core'
import test, { type ExecutionContext } from 'ava'
import { temporaryFolder } from '../testing/files.js'
import { gguf, type Typed } from '../testing/gguf.js'
import { embeddingParamsOf, normalized } from './embedding.js'

/** A folder with the files of a model of sentence-transformers. */
function folderOf(t: ExecutionContext, kinds: readonly string[], pooling: unknown): string {
  const folder = temporaryFolder(t)
  const modules = kinds.map((kind, index) => ({
    type: `sentence_transformers.models.${kind}`,
    path: `${index}_${kind}`,
  }))
  writeFileSync(join(folder, 'modules.json'), JSON.stringify(modules))
  mkdirSync(join(folder, '1_Pooling'))
  writeFileSync(join(folder, '1_Pooling', 'config.json'), JSON.stringify(pooling))
  return folder
}

const pools = (...modes: string[]) => ({
  word_embedding_dimension: 8,
  pooling_mode_cls_token: false,
  ...Object.fromEntries(modes.map((mode) => [`pooling_mode_${mode}`, true])),
})
const all = ['Transformer', 'Pooling', 'Normalize']

test('the files for sentence-transformers say how texts become vectors, and a parameter goes before them', (t) => {
  t.deepEqual(embeddingParamsOf(temporaryFolder(t), {}), { pooling: 'last', normalize: true })
  const modes = { cls_token: 'first', mean_tokens: 'mean', lasttoken: 'last' } as const
  for (const [mode, pooling] of Object.entries(modes)) {
    t.deepEqual(embeddingParamsOf(folderOf(t, all, pools(mode)), {}), { pooling, normalize: true })
  }
  t.deepEqual(embeddingParamsOf(folderOf(t, all, { pooling_mode: 'mean' }), {}), { pooling: 'mean', normalize: true })
  const plain = folderOf(t, ['Transformer', 'Pooling'], pools('mean_tokens'))
  t.deepEqual(embeddingParamsOf(plain, {}), { pooling: 'mean', normalize: false })
  t.deepEqual(embeddingParamsOf(plain, { normalize: true }), { pooling: 'mean', normalize: true })
  t.deepEqual(embeddingParamsOf(plain, { pooling: 'first' }), { pooling: 'first', normalize: false })
  t.deepEqual(embeddingParamsOf(folderOf(t, ['Transformer'], {}), {}), { pooling: 'last', normalize: false })
})

test('what files ask for and is not computed is refused, unless it is said what is wanted', (t) => {
  const refused = (folder: string, message: RegExp) => {
    t.throws(() => embeddingParamsOf(folder, {}), { instanceOf: InvalidInputError, message })
    const wanted = { pooling: 'last', normalize: true } as const
    t.deepEqual(embeddingParamsOf(folder, wanted), wanted)
  }
  refused(folderOf(t, all, pools('max')), /1_Pooling.config\.json asks for the pooling max;/)
  refused(folderOf(t, all, pools('mean_tokens', 'max_tokens')), /the pooling mean and max;/)
  refused(folderOf(t, all, {}), /the pooling of nothing;/)
  refused(folderOf(t, all, []), /1_Pooling.config\.json does not hold a JSON object/)
  refused(folderOf(t, [...all, 'Dense'], pools('cls_token')), /modules\.json has a module Dense/)
  const damaged = folderOf(t, all, pools('cls_token'))
  writeFileSync(join(damaged, 'modules.json'), '{"a": 1}')
  refused(damaged, /modules\.json does not hold a list/)
  writeFileSync(join(damaged, 'modules.json'), '[')
  refused(damaged, /modules\.json cannot be read as JSON/)
  writeFileSync(join(damaged, 'modules.json'), '[null, 3]')
  refused(damaged, /modules\.json has a module undefined/)
})

test('a GGUF file says how texts become vectors', (t) => {
  const path = join(temporaryFolder(t), 'model.gguf')
  const says = (type?: number) => {
    const metadata: Record<string, Typed> = { 'general.architecture': { string: 'qwen3' } }
    if (type !== undefined) metadata['qwen3.pooling_type'] = { uint32: type }
    writeFileSync(path, gguf({ metadata }))
    return embeddingParamsOf(path, {}).pooling
  }
  t.deepEqual([undefined, 0, 1, 2, 3].map(says), ['last', 'last', 'mean', 'first', 'last'])
  t.throws(() => says(4), { instanceOf: InvalidInputError, message: /model\.gguf asks for the pooling rank;/ })
  t.throws(() => says(77), { instanceOf: InvalidInputError, message: /the pooling 77;/ })
})

test('a vector is brought to length 1, and zeros stay zeros', (t) => {
  t.deepEqual([...normalized(Float32Array.of(3, -4))], [...Float32Array.of(0.6, -0.8)])
  t.deepEqual([...normalized(new Float32Array(2))], [0, 0])
})
