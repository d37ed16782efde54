import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { InvalidInputError } from '@troupe/core'
import type { MetadataValue } from '../weights/gguf-metadata.js'
import { readJson } from '../weights/json.js'

/** What a model's files say of chats. */
export interface ChatFiles {
  /** Jinja templates by name. The one that most chats use is `default`; `tool_use` is for those with tools. */
  templates: ReadonlyMap<string, string>
  /** The texts of special tokens by the names that templates know them by, such as `bos_token`. */
  specialTokens: ReadonlyMap<string, string>
}

const SPECIAL_TOKENS = ['bos', 'eos', 'unk', 'sep', 'pad', 'cls', 'mask'].map((name) => `${name}_token`)
const GGUF_TEMPLATE = 'tokenizer.chat_template'

/**
 * What a Hugging Face directory says of chats. A template in a file of its own goes before those in JSON.
 * @param config tokenizer_config.json
 * @throws InvalidInputError if a template is no text.
 */
export function directoryChatFiles(directory: string, config: Record<string, unknown>): ChatFiles {
  const named = readJsonIfAny(join(directory, 'special_tokens_map.json'))
  const specialTokens = new Map(
    SPECIAL_TOKENS.flatMap((name): [string, string][] => {
      const text = textOf(config[name] ?? named[name])
      return text === undefined ? [] : [[name, text]]
    }),
  )
  return { templates: directoryTemplates(directory, config), specialTokens }
}

function directoryTemplates(directory: string, config: Record<string, unknown>): Map<string, string> {
  const templates = new Map([
    ...templatesIn(config.chat_template, join(directory, 'tokenizer_config.json')),
    ...templatesIn(
      readJsonIfAny(join(directory, 'chat_template.json')).chat_template,
      join(directory, 'chat_template.json'),
    ),
  ])
  const own = join(directory, 'chat_template.jinja')
  if (existsSync(own)) templates.set('default', readFileSync(own, 'utf8'))
  const more = join(directory, 'additional_chat_templates')
  for (const file of existsSync(more) ? readdirSync(more) : []) {
    if (file.endsWith('.jinja')) templates.set(basename(file, '.jinja'), readFileSync(join(more, file), 'utf8'))
  }
  return templates
}

/** A template, or a list of named ones. */
function templatesIn(value: unknown, path: string): [string, string][] {
  if (value === undefined || value === null) return []
  if (typeof value === 'string') return [['default', value]]
  const isNamed = (one: unknown): one is { name: string; template: string } =>
    typeof (one as { name?: unknown } | null)?.name === 'string' &&
    typeof (one as { template?: unknown }).template === 'string'
  if (Array.isArray(value) && value.every(isNamed)) return value.map(({ name, template }) => [name, template])
  throw new InvalidInputError(
    `${path}: chat_template must be a text, or a list of objects with a name and a template; correct the file`,
  )
}

/** A special token is written as its text, or as an object that has it. */
function textOf(token: unknown): string | undefined {
  const text = typeof token === 'object' ? (token as { content?: unknown } | null)?.content : token
  return typeof text === 'string' ? text : undefined
}

/** What a GGUF file says of chats; `pieces` are the texts of its tokens by id. */
export function ggufChatFiles(
  metadata: ReadonlyMap<string, MetadataValue>,
  pieces: readonly string[] | undefined,
): ChatFiles {
  const templates = new Map<string, string>()
  for (const [key, value] of metadata) {
    if (typeof value !== 'string') continue
    if (key === GGUF_TEMPLATE) templates.set('default', value)
    else if (key.startsWith(`${GGUF_TEMPLATE}.`)) templates.set(key.slice(GGUF_TEMPLATE.length + 1), value)
  }
  const specialTokens = new Map<string, string>()
  for (const [name, key] of GGUF_SPECIAL_TOKENS) {
    const piece = pieces?.[Number(metadata.get(`tokenizer.ggml.${key}_token_id`) ?? -1)]
    if (piece !== undefined) specialTokens.set(name, piece)
  }
  return { templates, specialTokens }
}

const GGUF_SPECIAL_TOKENS = [
  ['bos_token', 'bos'],
  ['eos_token', 'eos'],
  ['unk_token', 'unknown'],
  ['sep_token', 'seperator'],
  ['pad_token', 'padding'],
  ['cls_token', 'cls'],
  ['mask_token', 'mask'],
] as const

export function readJsonIfAny(path: string): Record<string, unknown> {
  return existsSync(path) ? readJson(path) : {}
}
