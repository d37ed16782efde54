import { readFileSync } from 'node:fs'
import { InvalidInputError } from '@troupe/core'

/**
 * The JSON object in a file.
 * @throws InvalidInputError if there is none.
 */
export function readJson(path: string): Record<string, unknown> {
  const value = parseJson(path)
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new InvalidInputError(`${path} does not hold a JSON object`)
  }
  return value as Record<string, unknown>
}

/**
 * What a file holds as JSON.
 * @throws InvalidInputError if it holds none.
 */
export function parseJson(path: string): unknown {
  try {
    return JSON.parse(readFileSync(path, 'utf8'))
  } catch (error) {
    throw new InvalidInputError(`${path} cannot be read as JSON: ${(error as Error).message}`)
  }
}
