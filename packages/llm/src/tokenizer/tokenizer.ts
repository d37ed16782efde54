import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Tokenizer as HuggingFaceTokenizer } from '@huggingface/tokenizers'
import { InvalidInputError } from '@troupe/core'
import { isGguf } from '../weights/checkpoint.js'
import { GgufFile } from '../weights/gguf-file.js'
import { readJson } from '../weights/json.js'
import { ggufChatTemplate, ggufTokenizer, type TokenizerFiles } from './gguf-tokenizer.js'

/** Turns text into a model's tokens and back. */
export class Tokenizer {
  readonly #tokenizer: HuggingFaceTokenizer

  private constructor(
    tokenizer: HuggingFaceTokenizer,
    /** The Jinja template by which a chat becomes a prompt, if the model has one. */
    readonly chatTemplate: string | undefined,
  ) {
    this.#tokenizer = tokenizer
  }

  /**
   * The tokenizer of a model directory or a GGUF file, or undefined if it has none.
   * @throws InvalidInputError if it cannot be used.
   */
  static open(model: string): Tokenizer | undefined {
    return isGguf(model) ? openGguf(model) : openDirectory(model)
  }

  /** The tokenizer that Hugging Face's files describe; `path` names where they come from, for errors. */
  static from(files: TokenizerFiles, path: string, chatTemplate?: string): Tokenizer {
    try {
      return new Tokenizer(new HuggingFaceTokenizer(files.tokenizer, files.config), chatTemplate)
    } catch (error) {
      throw new InvalidInputError(`${path} has no tokenizer that can be used: ${(error as Error).message}`)
    }
  }

  /** The tokens of a text, with those that the model expects around it. */
  encode(text: string): number[] {
    return this.#tokenizer.encode(text).ids
  }

  /** The text of tokens, without special ones. */
  decode(tokens: readonly number[]): string {
    return tokens.length === 0 ? '' : this.#tokenizer.decode([...tokens], { skip_special_tokens: true })
  }

  /** A decoder of one stream of tokens that follow `prompt`. */
  stream(prompt: readonly number[]): TextStream {
    return new TextStream(this, prompt)
  }
}

/**
 * Decodes tokens as they come. A character whose bytes are spread over several tokens appears once it is whole, and
 * tokens are decoded together with some before them, because spaces depend on those.
 */
export class TextStream {
  readonly #tokenizer: Tokenizer
  #pending: number[]
  /** How many of the pending tokens' text has been given out already. */
  #shown: number

  constructor(tokenizer: Tokenizer, prompt: readonly number[]) {
    this.#tokenizer = tokenizer
    this.#pending = prompt.slice(-8)
    this.#shown = this.#pending.length
  }

  /** The text that `token` completes, which may be empty. */
  push(token: number): string {
    this.#pending.push(token)
    const before = this.#tokenizer.decode(this.#pending.slice(0, this.#shown))
    const text = this.#tokenizer.decode(this.#pending)
    if (text.endsWith('\uFFFD')) return ''
    this.#pending = this.#pending.slice(Math.max(0, this.#shown - 8))
    this.#shown = this.#pending.length
    return text.slice(before.length)
  }
}

function openDirectory(directory: string): Tokenizer | undefined {
  const path = join(directory, 'tokenizer.json')
  if (!existsSync(path)) return undefined
  const configPath = join(directory, 'tokenizer_config.json')
  const config = existsSync(configPath) ? readJson(configPath) : {}
  return Tokenizer.from({ tokenizer: readJson(path), config }, path, directoryChatTemplate(directory, config))
}

/** Newer directories keep the template in a file of its own. */
function directoryChatTemplate(directory: string, config: Record<string, unknown>): string | undefined {
  const path = join(directory, 'chat_template.jinja')
  if (existsSync(path)) return readFileSync(path, 'utf8')
  return typeof config.chat_template === 'string' ? config.chat_template : undefined
}

function openGguf(path: string): Tokenizer | undefined {
  const gguf = new GgufFile(path)
  try {
    const files = ggufTokenizer(gguf)
    return files && Tokenizer.from(files, path, ggufChatTemplate(gguf))
  } finally {
    gguf.close()
  }
}
