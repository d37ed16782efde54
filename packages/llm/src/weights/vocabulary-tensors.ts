import type { Checkpoint, StoredTensor } from './checkpoint.js'
import { bytesOf } from './formats.js'

const EMBEDDING = 'model.embed_tokens.weight'
const HEAD = 'lm_head.weight'
const BAND_BYTES = 2 ** 20

/** The tensors that a model's embedding and its output layer are. */
export interface VocabularyTensors {
  embedding: string
  head: string
}

/**
 * Where the embedding and the output layer of a checkpoint are. Those of a model with tied embeddings are one tensor, which may
 * be stored under either name; where both are stored and differ, both are meant, as in transformers from version 5 on.
 */
export function vocabularyTensors(checkpoint: Checkpoint, isTied: boolean): VocabularyTensors {
  const hasHead = checkpoint.has(HEAD)
  if (!isTied) return { embedding: EMBEDDING, head: HEAD }
  if (!checkpoint.has(EMBEDDING) && hasHead) return { embedding: HEAD, head: HEAD }
  if (hasHead && !areEqual(checkpoint.find(EMBEDDING), checkpoint.find(HEAD))) {
    return { embedding: EMBEDDING, head: HEAD }
  }
  return { embedding: EMBEDDING, head: EMBEDDING }
}

function areEqual(a: StoredTensor, b: StoredTensor): boolean {
  if (a.format !== b.format || elementsOf(a) !== elementsOf(b)) return false
  const bytes = bytesOf(a.format, elementsOf(a))
  const buffers = [Buffer.alloc(BAND_BYTES), Buffer.alloc(BAND_BYTES)] as const
  for (let done = 0; done < bytes; done += BAND_BYTES) {
    const [one, other] = buffers.map((buffer) => buffer.subarray(0, Math.min(BAND_BYTES, bytes - done)))
    a.file.read(one!, a.offset + done)
    b.file.read(other!, b.offset + done)
    if (!one!.equals(other!)) return false
  }
  return true
}

function elementsOf({ shape }: StoredTensor): number {
  return shape.reduce((product, size) => product * size, 1)
}
