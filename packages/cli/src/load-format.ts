import { InvalidInputError } from '@troupe/core'
import { LOAD_FORMATS, type LoadFormat } from '@troupe/llm'

/**
 * The engine's option for `--weights`.
 * @throws InvalidInputError unless it is left out or names a format that weights can be quantized to.
 */
export function loadFormat(name: string | undefined): { weights?: LoadFormat } {
  if (name === undefined) return {}
  const weights = LOAD_FORMATS.find((format) => format.toLowerCase() === name.toLowerCase())
  if (weights) return { weights }
  const known = LOAD_FORMATS.map((format) => format.toLowerCase()).join(' or ')
  throw new InvalidInputError(`--weights must be ${known}, found ${name}`)
}
