import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { Tokenizer as HuggingFaceTokenizer } from '@huggingface/tokenizers'
import { InvalidInputError } from '@troupe/core'
import { readJson } from '../weights/json.js'

/** Turns text into a model's tokens and back. */
export class Tokenizer {
  readonly #tokenizer: HuggingFaceTokenizer

  private constructor(tokenizer: HuggingFaceTokenizer) {
    this.#tokenizer = tokenizer
  }

  /**
   * The tokenizer of a model directory, or undefined if it has no tokenizer.json.
   * @throws InvalidInputError if the files cannot be used.
   */
  static open(directory: string): Tokenizer | undefined {
    const path = join(directory, 'tokenizer.json')
    if (!existsSync(path)) return undefined
    const configPath = join(directory, 'tokenizer_config.json')
    const config = existsSync(configPath) ? readJson(configPath) : {}
    try {
      return new Tokenizer(new HuggingFaceTokenizer(readJson(path), config))
    } catch (error) {
      if (error instanceof InvalidInputError) throw error
      throw new InvalidInputError(`${path} is not a tokenizer that can be used: ${(error as Error).message}`)
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
