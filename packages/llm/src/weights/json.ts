import { readFileSync } from 'node:fs'
import { InvalidInputError } from '@troupe/core'

/**
 * The JSON object in a file.
 * @throws InvalidInputError if there is none.
 */
export function readJson(path: string): Record<string, unknown> {
  let value: unknown
  try {
    value = JSON.parse(readFileSync(path, 'utf8'))
  } catch (error) {
    throw new InvalidInputError(`${path} cannot be read as JSON: ${(error as Error).message}`)
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new InvalidInputError(`${path} does not hold a JSON object`)
  }
  return value as Record<string, unknown>
}
