import { inspect, types } from 'node:util'

/** Characters that a description may have. */
const MOST_CHARACTERS = 1000

/** A value as text for a message, whatever its methods and getters throw; text itself is not cut. */
export function describe(value: unknown): string {
  if (typeof value === 'string') return value
  for (const attempt of types.isNativeError(value) ? [asText, asCode] : [asCode, asText]) {
    try {
      const text = attempt(value)
      return text.length > MOST_CHARACTERS ? `${text.slice(0, MOST_CHARACTERS)}…` : text
    } catch {
      // The other one asks something else of the value.
    }
  }
  return 'a value that cannot be shown'
}

function asText(value: unknown): string {
  return String(value)
}

function asCode(value: unknown): string {
  return inspect(value, { depth: 1, breakLength: Number.POSITIVE_INFINITY })
}

/** A property of a value; undefined where reading it throws. */
export function propertyOf(value: object, key: PropertyKey): unknown {
  try {
    return (value as Record<PropertyKey, unknown>)[key]
  } catch {
    return undefined
  }
}
