import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { InvalidInputError } from '@troupe/core'
import { isGguf } from '../weights/checkpoint.js'
import { GgufModel } from '../weights/gguf-model.js'
import { readJson } from '../weights/json.js'
import { readable } from '../weights/weight-file.js'
import { ggufChatTemplate, ggufTokenizer } from './gguf-tokenizer.js'
import { TextDecoder } from './text-decoder.js'
import { TextStream } from './text-stream.js'
import { named, type TokenizerDescription, type TokenizerFiles, withAddedTokens } from './tokenizer-files.js'
import { tokenizerProcess } from './tokenizer-process.js'
import { Vocabulary } from './vocabulary.js'

let opened = 0
const unused = new FinalizationRegistry((key: number) => tokenizerProcess.forget(key))

/** Turns text into a model's tokens and back, as Hugging Face's Rust tokenizers do. */
export class Tokenizer {
  readonly #key: number
  readonly #json: string
  readonly #path: string
  readonly #vocabulary: Vocabulary

  private constructor(
    key: number,
    json: string,
    path: string,
    vocabulary: Vocabulary,
    /** The Jinja template by which a chat becomes a prompt, if the model has one. */
    readonly chatTemplate: string | undefined,
  ) {
    this.#key = key
    this.#json = json
    this.#path = path
    this.#vocabulary = vocabulary
    unused.register(this, key)
  }

  /**
   * The tokenizer of a model directory or a GGUF file, or undefined if it has none.
   * @throws InvalidInputError if it cannot be used.
   */
  static async open(model: string): Promise<Tokenizer | undefined> {
    return isGguf(model) ? openGguf(model) : openDirectory(model)
  }

  /**
   * The tokenizer that Hugging Face's files describe; `path` names where they come from, for errors.
   * @throws InvalidInputError if it cannot be used.
   */
  static async from(files: TokenizerFiles, path: string, chatTemplate?: string): Promise<Tokenizer> {
    const key = opened++
    try {
      const { json, description } = withAddedTokens(files)
      const vocabulary = await vocabularyOf(key, json, description, files)
      return new Tokenizer(key, json, path, vocabulary, chatTemplate)
    } catch (error) {
      tokenizerProcess.forget(key)
      throw new InvalidInputError(`${path} has no tokenizer that can be used: ${readable((error as Error).message)}`)
    }
  }

  /**
   * The tokens of a text, with those that the model expects around it. Halves of surrogate pairs are replaced by U+FFFD.
   * @throws InvalidInputError if the tokenizer has no tokens for it.
   */
  async encode(text: string): Promise<number[]> {
    try {
      return Array.from(await tokenizerProcess.ask(this.#key, this.#json, { kind: 'encode', text }))
    } catch (error) {
      throw new InvalidInputError(
        `${this.#path} cannot cut the text into tokens: ${readable((error as Error).message)}`,
      )
    }
  }

  /** The text of tokens, without special ones and those that the tokenizer does not have. */
  decode(tokens: readonly number[]): string {
    return this.#vocabulary.decode(tokens)
  }

  /** One more than the largest token. */
  get vocabularySize(): number {
    return this.#vocabulary.size
  }

  /** The bytes of a token behind others, which need not be whole characters; undefined of special ones, which no text shows, and unknown ones. */
  tokenBytes(token: number): Uint8Array | undefined {
    return this.#vocabulary.bytesOf(token)
  }

  /** A decoder of one stream of tokens that follow `prompt`. */
  stream(prompt: readonly number[]): TextStream {
    return new TextStream(this.#vocabulary, prompt)
  }
}

/** The texts of a tokenizer's tokens, as the Rust library reads the file; that also shows whether it does. */
async function vocabularyOf(
  key: number,
  json: string,
  description: TokenizerDescription,
  files: TokenizerFiles,
): Promise<Vocabulary> {
  const { added, ids, special, tidies } = description
  const answer = await tokenizerProcess.ask(key, json, { kind: 'pieces', ids, added }).catch((error: Error) => {
    throw new InvalidInputError(named(error.message, json))
  })
  const pieces = new Map((files.pieces ?? []).map((piece, id) => [id, piece]))
  answer.pieces.forEach((piece, index) => {
    pieces.set(answer.ids[index]!, piece)
  })
  return new Vocabulary(pieces, special, new TextDecoder(description.decoder), tidies)
}

function openDirectory(directory: string): Promise<Tokenizer> | undefined {
  const path = join(directory, 'tokenizer.json')
  if (!existsSync(path)) return undefined
  const config = readJsonIfAny(join(directory, 'tokenizer_config.json'))
  const files = {
    tokenizer: readFileSync(path, 'utf8'),
    config,
    addedTokens: readJsonIfAny(join(directory, 'added_tokens.json')),
  }
  return Tokenizer.from(files, path, directoryChatTemplate(directory, config))
}

function readJsonIfAny(path: string): Record<string, unknown> {
  return existsSync(path) ? readJson(path) : {}
}

/** Newer directories keep the template in a file of its own. */
function directoryChatTemplate(directory: string, config: Record<string, unknown>): string | undefined {
  const path = join(directory, 'chat_template.jinja')
  if (existsSync(path)) return readFileSync(path, 'utf8')
  return typeof config.chat_template === 'string' ? config.chat_template : undefined
}

async function openGguf(path: string): Promise<Tokenizer | undefined> {
  const gguf = new GgufModel(path)
  try {
    const files = ggufTokenizer(gguf)
    return files && (await Tokenizer.from(files, path, ggufChatTemplate(gguf)))
  } finally {
    gguf.close()
  }
}
