import { InvalidInputError } from '@troupe/core'
import { CACHE_TYPES, type CacheType } from '@troupe/tensor'

/** `--kv-cache`, and its former name, as commands that run a model have them. */
export const cacheTypeOptions = {
  'kv-cache': {
    type: 'string',
    placeholder: 'TYPE',
    help: `what the KV cache keeps keys and values in: ${CACHE_TYPES.join(', ')}; float32 by default`,
  },
  'cache-type': { type: 'string', placeholder: 'TYPE', help: 'the former name of --kv-cache' },
} as const

/**
 * The engine's option for `--kv-cache`.
 * @throws InvalidInputError unless it is left out or names a type that the KV cache can have.
 */
export function cacheType(options: Partial<Record<keyof typeof cacheTypeOptions, string | undefined>>): {
  cacheType?: CacheType
} {
  for (const option of ['kv-cache', 'cache-type'] as const) {
    const name = options[option]
    if (name === undefined) continue
    const cacheType = CACHE_TYPES.find((type) => type === name.toLowerCase())
    if (cacheType) return { cacheType }
    throw new InvalidInputError(`--${option} must be one of ${CACHE_TYPES.join(', ')}; found ${name}`)
  }
  return {}
}
