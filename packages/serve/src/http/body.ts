import { badRequest } from './api-error.js'

/** The most levels that arrays and objects of a body may be nested. */
export const MAX_DEPTH = 100

const LONE_SURROGATE = /\p{Surrogate}/u
const LONE_SURROGATES = /\p{Surrogate}/gu

/**
 * Goes over a body that was just parsed: replaces halves of characters, which no UTF-8 has, by U+FFFD.
 * @throws ApiError if it is nested more than {@link MAX_DEPTH} levels deep.
 */
export function sanitizeBody(body: unknown): void {
  const waiting: { value: object; depth: number }[] = []
  const visit = (value: unknown, depth: number) => {
    if (typeof value !== 'object' || value === null) return
    if (depth > MAX_DEPTH) throw badRequest(`the body is nested more than ${MAX_DEPTH} levels deep; flatten it`)
    waiting.push({ value, depth })
  }
  visit(body, 1)
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const fields = next.value as Record<string, unknown>
    for (const [key, value] of Object.entries(fields)) {
      if (typeof value === 'string' && LONE_SURROGATE.test(value))
        fields[key] = value.replace(LONE_SURROGATES, '\uFFFD')
      else visit(value, next.depth + 1)
    }
  }
}
