import { InvalidInputError } from '@troupe/core'
import { z } from 'zod'

const text = z.string()
const content = z.union([text, z.array(z.strictObject({ type: z.literal('text'), text }))])
const call = z.strictObject({ id: text, name: text, arguments: text })
const message = z.discriminatedUnion('role', [
  z.strictObject({ role: z.enum(['system', 'developer', 'user']), content }),
  z.strictObject({
    role: z.literal('assistant'),
    content: text.nullable(),
    reasoning: text.optional(),
    toolCalls: z.array(call).optional(),
  }),
  z.strictObject({ role: z.literal('tool'), content, toolCallId: text }),
])
const tool = z.strictObject({
  name: z.string().regex(/^[\w.-]{1,256}$/),
  description: text.optional(),
  parameters: z.union([z.boolean(), z.record(text, z.unknown())]).optional(),
  strict: z.boolean().optional(),
})
const choice = z.union([z.enum(['auto', 'none', 'required']), z.strictObject({ name: text })])
const chat = z.object({
  messages: z.array(message).min(1),
  tools: z.array(tool).optional(),
  toolChoice: choice.optional(),
  parallelToolCalls: z.boolean().optional(),
  templateVariables: z.record(text, z.unknown()).optional(),
  continueLast: z.boolean().optional(),
})

/**
 * Checks the shape of a chat.
 * @throws InvalidInputError naming the first part that is not as it should be.
 */
export function checkChat(given: {
  messages: unknown
  tools?: unknown
  toolChoice?: unknown
  parallelToolCalls?: unknown
  templateVariables?: unknown
  continueLast?: unknown
}): void {
  const { error, data } = chat.safeParse(given)
  if (error) {
    const { path, message } = error.issues[0]!
    throw new InvalidInputError(`${nameOf(path)}: ${message}`)
  }
  const names = (data.tools ?? []).map(({ name }) => name)
  const twice = names.find((name, index) => names.indexOf(name) !== index)
  if (twice !== undefined) throw new InvalidInputError(`tools: two are named ${twice}; give each a name of its own`)
  const { toolChoice } = data
  if (toolChoice === 'required' && names.length === 0) {
    throw new InvalidInputError('toolChoice is required, but there are no tools; give some')
  }
  if (typeof toolChoice === 'object' && !names.includes(toolChoice.name)) {
    throw new InvalidInputError(
      `toolChoice names ${toolChoice.name}, which is not among the tools; expected one of ${names.join(', ') || 'none'}`,
    )
  }
}

/** A place in a chat, such as `messages[2].content`. */
function nameOf(path: readonly PropertyKey[]): string {
  return path
    .map((key, index) => (typeof key === 'number' ? `[${key}]` : `${index > 0 ? '.' : ''}${String(key)}`))
    .join('')
}
