import { existsSync, statSync } from 'node:fs'
import type { FormatName } from './formats.js'
import type { WeightFile } from './weight-file.js'

/** Where a checkpoint keeps a tensor, whose elements lie in row-major order, each row in whole blocks of its format. */
export interface StoredTensor {
  format: FormatName
  shape: readonly number[]
  file: WeightFile
  /** Bytes from the start of the file. */
  offset: number
  /** The stored row (of a vector: element) that is row `row` of the tensor, where a file keeps them in another order. */
  rowOrder?: (row: number) => number
}

/** A model's weights on disk, by the names that Hugging Face gives them. */
export interface Checkpoint {
  readonly path: string
  /** The source of the tensors' shapes, for errors. */
  readonly configName: string
  has(name: string): boolean
  /** @throws InvalidInputError if there is no such tensor, or its format cannot be computed on. */
  find(name: string): StoredTensor
  /** Bytes of the tensors whose names begin with `prefix`, as they are stored. */
  storedBytes(prefix: string): number
  /** Closes the files; what was mapped stays. */
  close(): void
}

/** Whether a model is one GGUF file, and not a Hugging Face directory. */
export function isGguf(model: string): boolean {
  return existsSync(model) && statSync(model).isFile()
}
