import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { InvalidInputError } from '@troupe/core'
import type { Checkpoint, StoredTensor } from './checkpoint.js'
import { readJson } from './json.js'
import { type SafetensorsEntry, SafetensorsFile } from './safetensors.js'

const FORMATS = ['F32', 'F16', 'BF16'] as const

/**
 * The weights of a Hugging Face model directory: `model.safetensors`, or the files that `model.safetensors.index.json`
 * names.
 */
export class SafetensorsCheckpoint implements Checkpoint {
  readonly configName = 'config.json'
  readonly #files: SafetensorsFile[] = []
  readonly #tensors = new Map<string, { file: SafetensorsFile; entry: SafetensorsEntry }>()

  /** @throws InvalidInputError if files are missing or unsound. */
  constructor(readonly path: string) {
    try {
      for (const file of weightFiles(path)) this.#open(file)
      if (this.#tensors.has('embed_tokens.weight')) this.#nameAsWhole()
    } catch (error) {
      this.close()
      throw error
    }
  }

  has(name: string): boolean {
    return this.#tensors.has(name)
  }

  find(name: string): StoredTensor {
    const found = this.#tensors.get(name)
    if (!found) throw new InvalidInputError(`${this.path}: its weights lack the tensor ${name}`)
    const { file, entry } = found
    const format = FORMATS.find((candidate) => candidate === entry.type)
    if (!format) {
      throw new InvalidInputError(
        `${file.path}: tensor ${name} has dtype ${entry.type}; weights must be F32, F16 or BF16, so convert them first`,
      )
    }
    return { format, shape: entry.shape, file: file.file, offset: entry.start }
  }

  storedBytes(prefix: string): number {
    const tensors = [...this.#tensors].filter(([name]) => name.startsWith(prefix))
    return tensors.reduce((sum, [, { entry }]) => sum + entry.end - entry.start, 0)
  }

  close(): void {
    for (const { file } of this.#files) file.close()
    this.#files.length = 0
  }

  /** Models that were trained for embeddings are often stored without the model around them that predicts tokens. */
  #nameAsWhole(): void {
    for (const [name, tensor] of [...this.#tensors]) {
      if (name === 'lm_head.weight') continue
      this.#tensors.delete(name)
      this.#tensors.set(`model.${name}`, tensor)
    }
  }

  #open(path: string): void {
    const file = new SafetensorsFile(path)
    this.#files.push(file)
    for (const [name, entry] of file.tensors) this.#tensors.set(name, { file, entry })
  }
}

function weightFiles(directory: string): string[] {
  const single = join(directory, 'model.safetensors')
  if (existsSync(single)) return [single]
  const index = join(directory, 'model.safetensors.index.json')
  if (!existsSync(index)) {
    throw new InvalidInputError(`${directory} has neither model.safetensors nor model.safetensors.index.json`)
  }
  const map = readJson(index).weight_map
  if (typeof map !== 'object' || map === null) throw new InvalidInputError(`${index} has no weight_map`)
  const files = [...new Set(Object.values(map))].map((name) => join(directory, String(name)))
  const missing = files.find((path) => !existsSync(path))
  if (missing) throw new InvalidInputError(`${index} names ${missing}, which does not exist`)
  return files
}
