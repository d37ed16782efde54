import { existsSync, statSync } from 'node:fs'
import { InvalidInputError } from '@troupe/core'
import type { FormatName } from './formats.js'
import { GgufCheckpoint } from './gguf-checkpoint.js'
import { SafetensorsCheckpoint } from './safetensors-checkpoint.js'
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
  /** What the shapes of the tensors come from, for errors. */
  readonly configName: string
  has(name: string): boolean
  /** @throws InvalidInputError if there is no such tensor, or its format cannot be computed on. */
  find(name: string): StoredTensor
  /** Closes the files; what was mapped stays. */
  close(): void
}

/** Whether a model is one GGUF file, and not a Hugging Face directory. */
export function isGguf(model: string): boolean {
  return existsSync(model) && statSync(model).isFile()
}

/**
 * The weights of a Hugging Face directory or a GGUF file.
 * @throws InvalidInputError if files are missing or unsound.
 */
export function openCheckpoint(model: string): Checkpoint {
  if (!existsSync(model)) {
    throw new InvalidInputError(`no model at ${model}; expected a Hugging Face model directory or a GGUF file`)
  }
  return isGguf(model) ? new GgufCheckpoint(model) : new SafetensorsCheckpoint(model)
}
