import { randomBytes } from 'node:crypto'
import type { JsonSchema, Tool } from '../messages.js'
import { HERMES_BEGIN, HERMES_END, HermesParser } from './hermes.js'
import { LlamaParser, PYTHON_TAG } from './llama.js'
import { MistralParser, TOOL_CALLS } from './mistral.js'
import type { ToolCallParser } from './parser.js'

/** The ways in which models write calls of tools. */
export const TOOL_CALL_FORMATS = ['hermes', 'llama', 'mistral'] as const

/** How a model writes calls of tools: as Hermes and Qwen do, as Llama 3, or as Mistral. */
export type ToolCallFormat = (typeof TOOL_CALL_FORMATS)[number]

/** What holds a model to calling tools: the beginning of its answer, and a schema of the JSON that follows. */
export interface ForcedCalls {
  begin: string
  schema: JsonSchema
}

interface Format {
  /** Marks that may be special tokens, whose text has to be seen. */
  marks: readonly string[]
  parser(makeId: () => string, tools: ReadonlySet<string>): ToolCallParser
  /** @param several whether there may be more than one call */
  forced(tools: readonly Tool[], several: boolean): ForcedCalls
}

const FORMATS: Record<ToolCallFormat, Format> = {
  hermes: {
    marks: [HERMES_BEGIN, HERMES_END],
    parser: (makeId) => new HermesParser(makeId),
    forced: (tools) => ({ begin: `${HERMES_BEGIN}\n`, schema: anyOf(tools, 'arguments') }),
  },
  llama: {
    marks: [PYTHON_TAG],
    parser: (makeId, tools) => new LlamaParser(makeId, tools),
    forced: (tools) => ({ begin: '', schema: anyOf(tools, 'parameters') }),
  },
  mistral: {
    marks: [TOOL_CALLS, '[ARGS]', '[CALL_ID]'],
    parser: (makeId) => new MistralParser(makeId),
    forced: (tools, several) => ({
      begin: TOOL_CALLS,
      schema: { type: 'array', items: anyOf(tools, 'arguments'), minItems: 1, ...(several ? {} : { maxItems: 1 }) },
    }),
  },
}

/** A call of one of the tools, as JSON; what has no schema takes any object. */
function anyOf(tools: readonly Tool[], argumentKey: string): JsonSchema {
  const schemas = tools.map(({ name, parameters = { type: 'object' } }) => ({
    type: 'object',
    properties: { name: { const: name }, [argumentKey]: parameters },
    required: ['name', argumentKey],
    additionalProperties: false,
  }))
  return schemas.length === 1 ? schemas[0]! : { anyOf: schemas }
}

/** The format that a chat template teaches: it shows the model its own calls. Undefined if it knows none of these. */
export function toolCallFormatOf(template: string): ToolCallFormat | undefined {
  if (template.includes(TOOL_CALLS)) return 'mistral'
  if (template.includes(HERMES_BEGIN)) return 'hermes'
  if (template.includes(PYTHON_TAG) || /["']parameters["']\s*:/.test(template)) return 'llama'
  return undefined
}

/** The texts of special tokens that a parser of a format has to see. */
export function marksOf(format: ToolCallFormat): readonly string[] {
  return FORMATS[format].marks
}

/** A parser of one answer, which may call these tools. */
export function toolCallParser(format: ToolCallFormat, tools: readonly Tool[], makeId = randomId): ToolCallParser {
  return FORMATS[format].parser(makeId, new Set(tools.map(({ name }) => name)))
}

/** What holds a model to calls of some tools, in its own format. */
export function forcedCalls(format: ToolCallFormat, tools: readonly Tool[], several: boolean): ForcedCalls {
  return FORMATS[format].forced(tools, several)
}

const LETTERS = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789'

/** An id of the nine letters and digits that Mistral's templates ask for. */
export function idFrom(bytes: Uint8Array): string {
  return Array.from(bytes.subarray(0, 9), (byte) => LETTERS[byte % LETTERS.length]).join('')
}

function randomId(): string {
  return idFrom(randomBytes(9))
}
