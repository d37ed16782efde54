import { createRequire } from 'node:module'
import { InvalidInputError } from '@troupe/core'

type Library = typeof import('tokenizers')

let library: Library | undefined

/**
 * Hugging Face's Rust tokenizers, loaded when first needed. A panic in it ends the process that it is in, so texts and
 * whole tokenizers go to it in a process of its own (`TokenizerProcess`).
 * @throws InvalidInputError if its package has no binary for this platform.
 */
export function tokenizersLibrary(): Library {
  try {
    library ??= createRequire(import.meta.url)('tokenizers') as Library
    return library
  } catch (error) {
    const platform = `${process.platform}-${process.arch}`
    throw new InvalidInputError(
      `the package tokenizers cannot be loaded on ${platform} (${firstLine(error)}); install it again there, or give prompts as tokens`,
    )
  }
}

function firstLine(error: unknown): string {
  return String((error as Error).message).split('\n')[0]!
}
