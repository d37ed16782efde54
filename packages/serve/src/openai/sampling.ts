import type { GenerationParams, JsonSchema, Structure } from '@troupe/llm'
import { z } from 'zod'
import { badRequest } from '../http/api-error.js'
import { jsonSchema, plainObject } from '../http/schemas.js'

const tokenId = z.int().min(0)

/** Fields of a body that say how a text is continued: OpenAI's, and vLLM's further ones. */
export const samplingFields = {
  max_tokens: z.int().min(1).nullish(),
  min_tokens: z.int().min(0).nullish(),
  temperature: z.number().min(0).nullish(),
  top_p: z.number().min(0).max(1).nullish(),
  top_k: z.int().min(-1).nullish(),
  min_p: z.number().min(0).max(1).nullish(),
  repetition_penalty: z.number().positive().nullish(),
  presence_penalty: z.number().min(-2).max(2).nullish(),
  frequency_penalty: z.number().min(-2).max(2).nullish(),
  logit_bias: z.record(z.string().regex(/^\d{1,9}$/, 'expected token ids'), z.number().min(-100).max(100)).nullish(),
  seed: z.int().nullish(),
  stop: z.union([z.string(), z.array(z.string()).max(64)]).nullish(),
  stop_token_ids: z.array(tokenId).max(1024).nullish(),
  ignore_eos: z.boolean().nullish(),
  n: z.int().min(1).max(128).nullish(),
  stream: z.boolean().nullish(),
  stream_options: z.object({ include_usage: z.boolean().nullish() }).nullish(),
  user: z.string().nullish(),
}

const choices = z.array(z.string().min(1)).min(1).max(4096)

/** Fields that hold a text to a form: `response_format`, and vLLM's. */
export const structureFields = {
  response_format: z
    .discriminatedUnion('type', [
      z.object({ type: z.literal('text') }),
      z.object({ type: z.literal('json_object') }),
      z.object({
        type: z.literal('json_schema'),
        json_schema: z.object({ name: z.string(), schema: jsonSchema.nullish(), strict: z.boolean().nullish() }),
      }),
    ])
    .nullish(),
  structured_outputs: z
    .object({
      json: z.union([z.string(), jsonSchema]).nullish(),
      regex: z.string().nullish(),
      choice: choices.nullish(),
      grammar: z.string().nullish(),
      json_object: z.boolean().nullish(),
    })
    .nullish(),
  guided_json: z.union([z.string(), jsonSchema]).nullish(),
  guided_regex: z.string().nullish(),
  guided_choice: choices.nullish(),
  guided_grammar: z.string().nullish(),
}

const samplingBody = z.object(samplingFields)
const structureBody = z.object(structureFields)

/** The parameters that the fields of {@link samplingFields} are. */
export function samplingParamsOf(body: z.infer<typeof samplingBody>): GenerationParams {
  return defined({
    maxTokens: body.max_tokens,
    minTokens: body.min_tokens,
    temperature: body.temperature,
    // A probability of 0 takes the likeliest token; the model's begin above that.
    topP: body.top_p === 0 ? 1e-6 : body.top_p,
    topK: body.top_k === -1 ? 0 : body.top_k,
    minP: body.min_p,
    repetitionPenalty: body.repetition_penalty,
    presencePenalty: body.presence_penalty,
    frequencyPenalty: body.frequency_penalty,
    logitBias: body.logit_bias,
    seed: body.seed,
    stop: body.stop,
    stopTokens: body.stop_token_ids,
    ignoreEnd: body.ignore_eos,
    n: body.n,
  })
}

/**
 * What the fields of {@link structureFields} hold the text to.
 * @throws ApiError if they ask for more than one form, or if a schema is no JSON.
 */
export function structureOf(body: z.infer<typeof structureBody>): Structure | undefined {
  const { structured_outputs: structured, response_format: format } = body
  const asked: Structure[] = []
  if (format?.type === 'json_object') asked.push({ type: 'json' })
  if (format?.type === 'json_schema') {
    asked.push({ type: 'json_schema', schema: format.json_schema.schema ?? {} })
  }
  if (structured?.json_object === true) asked.push({ type: 'json' })
  for (const schema of [structured?.json, body.guided_json]) {
    if (schema !== undefined && schema !== null) asked.push({ type: 'json_schema', schema: parsedSchema(schema) })
  }
  for (const pattern of [structured?.regex, body.guided_regex]) if (pattern) asked.push({ type: 'regex', pattern })
  for (const ebnf of [structured?.grammar, body.guided_grammar]) if (ebnf) asked.push({ type: 'grammar', ebnf })
  for (const texts of [structured?.choice, body.guided_choice]) {
    if (texts) asked.push({ type: 'regex', pattern: texts.map(escaped).join('|') })
  }
  if (asked.length > 1)
    throw badRequest('the answer can be held to one form only; give one of the fields that say which')
  return asked[0]
}

function parsedSchema(schema: string | JsonSchema): JsonSchema {
  if (typeof schema !== 'string') return schema
  let parsed: unknown
  try {
    parsed = JSON.parse(schema)
  } catch {
    throw badRequest('the JSON schema is a text that is no JSON')
  }
  const result = z.union([z.boolean(), plainObject]).safeParse(parsed)
  if (!result.success) throw badRequest('a JSON schema must be an object, or true or false')
  return result.data
}

/** A regular expression of this text only. */
function escaped(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')
}

/** The fields that have a value. */
export function defined<Fields extends object>(
  fields: Fields,
): { [Name in keyof Fields]?: Exclude<Fields[Name], null | undefined> } {
  return Object.fromEntries(
    Object.entries(fields).filter(([, value]) => value !== undefined && value !== null),
  ) as ReturnType<typeof defined<Fields>>
}
