import { z } from 'zod'

/** An object of any fields. */
export const plainObject = z.record(z.string(), z.unknown())

/** A JSON Schema. */
export const jsonSchema = z.union([z.boolean(), plainObject])

/** The name of a function, as the APIs have it. */
export const functionName = z.string().regex(/^[\w.-]{1,128}$/, 'expected 1 to 128 letters, digits, _, . or -')

/** A content of texts only. */
export function textPart<const Type extends string>(...types: [Type, ...Type[]]) {
  return z.object({
    type: z.enum(types, 'only texts can be read by the models that are served here'),
    text: z.string(),
  })
}
