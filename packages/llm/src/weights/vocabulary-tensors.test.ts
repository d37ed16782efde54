import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { openCheckpoint } from '../models/open-checkpoint.js'
import { temporaryFolder, writeSafetensors } from '../testing/files.js'
import { vocabularyTensors } from './vocabulary-tensors.js'

const EMBEDDING = 'model.embed_tokens.weight'
const HEAD = 'lm_head.weight'

function found(t: ExecutionContext, tensors: Record<string, Float32Array>, isTied: boolean) {
  const folder = temporaryFolder(t)
  const stored = Object.entries(tensors).map(([name, values]) => [
    name,
    { dtype: 'F32', shape: [values.length, 1], bytes: new Uint8Array(values.buffer) },
  ])
  writeSafetensors(join(folder, 'model.safetensors'), Object.fromEntries(stored))
  const checkpoint = openCheckpoint(folder)
  t.teardown(() => checkpoint.close())
  return vocabularyTensors(checkpoint, isTied)
}

test('a tied embedding is found under either name, and where both are stored they are one only if they are equal', (t) => {
  const long = Float32Array.from({ length: 300_000 }, (_, i) => i)
  const another = long.slice()
  another[299_999] = 0
  t.deepEqual(found(t, { [EMBEDDING]: long }, true), { embedding: EMBEDDING, head: EMBEDDING })
  t.deepEqual(found(t, { [HEAD]: long }, true), { embedding: HEAD, head: HEAD })
  t.deepEqual(found(t, { [EMBEDDING]: long, [HEAD]: long }, true), { embedding: EMBEDDING, head: EMBEDDING })
  t.deepEqual(found(t, { [EMBEDDING]: long, [HEAD]: another }, true), { embedding: EMBEDDING, head: HEAD })
  t.deepEqual(found(t, { [EMBEDDING]: long }, false), { embedding: EMBEDDING, head: HEAD })
})
