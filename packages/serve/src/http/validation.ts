import type { FastifySchemaCompiler } from 'fastify'
import type { z } from 'zod'
import { type ApiError, badRequest } from './api-error.js'

type Issue = z.core.$ZodIssue

/** Holds bodies and parameters to their schemas; what they do not know is left out. */
export const validatorCompiler: FastifySchemaCompiler<z.ZodType> =
  ({ schema }) =>
  (data: unknown) => {
    const result = schema.safeParse(data)
    return result.success ? { value: result.data } : { error: errorOf(result.error.issues[0]!) }
  }

function errorOf(issue: Issue): ApiError {
  const { path, message } = innermost(issue, [])
  const name = nameOf(path)
  return badRequest(name === '' ? message : `${name}: ${message}`, name === '' ? null : name)
}

/** Of a union, the fault of the alternative that fits furthest. */
function innermost(issue: Issue, outer: readonly PropertyKey[]): { path: readonly PropertyKey[]; message: string } {
  const path = [...outer, ...issue.path]
  if (issue.code !== 'invalid_union' || issue.errors.length === 0) return { path, message: issue.message }
  const branches = issue.errors.flatMap((issues) => (issues[0] ? [innermost(issues[0], path)] : []))
  const deepest = branches.reduce((best, other) => (other.path.length > best.path.length ? other : best), branches[0]!)
  if (deepest.path.length > path.length) return deepest
  return { path, message: branches.map(({ message }) => message).join(', or ') }
}

/** `messages[0].content`, as OpenAI's API names fields. */
function nameOf(path: readonly PropertyKey[]): string {
  return path.reduce<string>((name, part) => {
    if (typeof part === 'number') return `${name}[${part}]`
    return name === '' ? String(part) : `${name}.${String(part)}`
  }, '')
}
