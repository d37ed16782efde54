import { InvalidInputError } from '@troupe/core'
import { CACHE_TYPES, type CacheType } from '@troupe/tensor'

/** `--cache-type`, as commands that run a model have it. */
export const cacheTypeOption = {
  type: 'string',
  placeholder: 'TYPE',
  help: `what the KV cache keeps keys and values in: ${CACHE_TYPES.join(', ')}; float32 by default`,
} as const

/**
 * The engine's option for `--cache-type`.
 * @throws InvalidInputError unless it is left out or names a type that the KV cache can have.
 */
export function cacheType(name: string | undefined): { cacheType?: CacheType } {
  if (name === undefined) return {}
  const cacheType = CACHE_TYPES.find((type) => type === name.toLowerCase())
  if (cacheType) return { cacheType }
  throw new InvalidInputError(`--cache-type must be one of ${CACHE_TYPES.join(', ')}; found ${name}`)
}
