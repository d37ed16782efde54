import { existsSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { InvalidInputError } from '@troupe/core'
import { GgufFile, type GgufTensor } from './gguf-file.js'
import type { MetadataValue } from './gguf-metadata.js'

/** More parts than this are taken for damage. */
const MOST_PARTS = 10_000

/**
 * A model in GGUF: one file, or all the parts of one that llama.cpp's gguf-split has cut, of which any may be named. The first
 * part has the metadata; the tensors are divided among all.
 */
export class GgufModel {
  #parts: GgufFile[] = []
  readonly tensors = new Map<string, GgufTensor>()

  /** @throws InvalidInputError if a file is missing or unsound, or if the parts are not those of one model. */
  constructor(readonly path: string) {
    try {
      const named = this.#open(path)
      const count = splitNumber(named, 'count') ?? 1
      if (count > 1) this.#openParts(named, count)
      for (const part of this.#parts) this.#take(part)
      const expected = count > 1 ? splitNumber(named, 'tensors.count') : undefined
      if (expected !== undefined && expected !== this.tensors.size) {
        throw this.error(`its ${count} parts have ${this.tensors.size} tensors together, and should have ${expected}`)
      }
    } catch (error) {
      this.close()
      throw error
    }
  }

  get metadata(): ReadonlyMap<string, MetadataValue> {
    return this.#parts[0]!.metadata
  }

  close(): void {
    for (const part of this.#parts.splice(0)) part.close()
  }

  error(problem: string): InvalidInputError {
    return this.#parts[0]!.error(problem)
  }

  #open(path: string): GgufFile {
    const part = new GgufFile(path)
    this.#parts.push(part)
    return part
  }

  #openParts(named: GgufFile, count: number): void {
    const own = splitNumber(named, 'no') ?? 0
    if (count > MOST_PARTS || own >= count) throw named.error(`it says that it is part ${own + 1} of ${count}`)
    const paths = Array.from({ length: count }, (_, index) => partPath(this.path, index, count))
    if (basename(this.path) !== basename(paths[own]!)) {
      throw new InvalidInputError(
        `${this.path} is part ${own + 1} of ${count} of a model; name the parts NAME${suffixOf(0, count)} to NAME${suffixOf(count - 1, count)}`,
      )
    }
    const missing = paths.filter((path) => !existsSync(path))
    if (missing.length > 0) {
      const names = missing.map((path) => basename(path)).join(', ')
      throw new InvalidInputError(
        `${this.path} is part ${own + 1} of ${count} of a model; ${names} is missing beside it`,
      )
    }
    this.#parts = paths.map((path, index) => {
      const part = index === own ? named : this.#open(path)
      if (splitNumber(part, 'count') === count && splitNumber(part, 'no') === index) return part
      throw new InvalidInputError(
        `${path} is not part ${index + 1} of ${count} of the model of ${this.path}; fetch it again`,
      )
    })
  }

  #take(part: GgufFile): void {
    for (const [name, tensor] of part.tensors) {
      if (this.tensors.has(name)) throw part.error(`tensor ${name} is in another part too`)
      this.tensors.set(name, tensor)
    }
  }
}

function splitNumber(part: GgufFile, key: 'no' | 'count' | 'tensors.count'): number | undefined {
  const value = part.metadata.get(`split.${key}`)
  if (value === undefined) return undefined
  if (Number.isSafeInteger(value) && (value as number) >= 0) return value as number
  throw part.error(`split.${key} is ${value}; expected a whole number`)
}

function suffixOf(index: number, count: number): string {
  const digits = (value: number) => String(value).padStart(5, '0')
  return `-${digits(index + 1)}-of-${digits(count)}.gguf`
}

/** The path of another part: gguf-split names them alike but for their number. */
function partPath(path: string, index: number, count: number): string {
  const stem = basename(path).replace(/-\d+-of-\d+\.gguf$/, '')
  return join(dirname(path), `${stem}${suffixOf(index, count)}`)
}
