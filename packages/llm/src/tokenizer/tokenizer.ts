import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { InvalidInputError } from '@troupe/core'
import { isGguf } from '../weights/checkpoint.js'
import { GgufModel } from '../weights/gguf-model.js'
import { readable } from '../weights/weight-file.js'
import { type ChatFiles, directoryChatFiles, ggufChatFiles, readJsonIfAny } from './chat-templates.js'
import { ggufTokenizer } from './gguf-tokenizer.js'
import { TextDecoder } from './text-decoder.js'
import { TextStream } from './text-stream.js'
import { named, type TokenizerDescription, type TokenizerFiles, withAddedTokens } from './tokenizer-files.js'
import { tokenizerProcess } from './tokenizer-process.js'
import { Vocabulary } from './vocabulary.js'

let opened = 0
const unused = new FinalizationRegistry((key: number) => tokenizerProcess.forget(key))

const NO_CHAT: ChatFiles = { templates: new Map(), specialTokens: new Map() }

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
    /** What the model's files say of chats. */
    readonly chatFiles: ChatFiles,
  ) {
    this.#key = key
    this.#json = json
    this.#path = path
    this.#vocabulary = vocabulary
    unused.register(this, key)
  }

  /** The Jinja template by which a chat becomes a prompt, if the model has one. */
  get chatTemplate(): string | undefined {
    return this.chatFiles.templates.get('default')
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
  static async from(files: TokenizerFiles, path: string, chatFiles = NO_CHAT): Promise<Tokenizer> {
    const key = opened++
    try {
      const { json, description } = withAddedTokens(files)
      const vocabulary = await vocabularyOf(key, json, description, files)
      return new Tokenizer(key, json, path, vocabulary, chatFiles)
    } catch (error) {
      tokenizerProcess.forget(key)
      throw new InvalidInputError(`${path} has no tokenizer that can be used: ${readable((error as Error).message)}`)
    }
  }

  /**
   * The tokens of a text, with those that the model expects around it unless `addSpecialTokens` is false, as for the prompt
   * of a chat, whose template has written them. The texts of special tokens become those tokens either way. Halves of
   * surrogate pairs are replaced by U+FFFD.
   * @throws InvalidInputError if the tokenizer has no tokens for it.
   */
  async encode(text: string, { addSpecialTokens = true } = {}): Promise<number[]> {
    try {
      return Array.from(await tokenizerProcess.ask(this.#key, this.#json, { kind: 'encode', text, addSpecialTokens }))
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

  /** A decoder of one stream of tokens that follow `prompt`, in which the special tokens of the texts in `shown` can be seen. */
  stream(prompt: readonly number[], shown: readonly string[] = []): TextStream {
    return new TextStream(this.#vocabulary.showing(shown), prompt)
  }

  /** What one token says inside a text, special or not: its bytes, which need not be whole characters; none if it is unknown. */
  bytesOf(token: number): Uint8Array {
    return this.#vocabulary.bytesOf(token)
  }

  /** One more than the largest token. */
  get vocabularySize(): number {
    return this.#vocabulary.size
  }

  /** The bytes of a token behind others, which need not be whole characters; undefined of special ones, which no text shows, and unknown ones. */
  tokenBytes(token: number): Uint8Array | undefined {
    return this.#vocabulary.isShown(token) ? this.#vocabulary.bytesOf(token) : undefined
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
  return Tokenizer.from(files, path, directoryChatFiles(directory, config))
}

async function openGguf(path: string): Promise<Tokenizer | undefined> {
  const gguf = new GgufModel(path)
  try {
    const files = ggufTokenizer(gguf)
    return files && (await Tokenizer.from(files, path, ggufChatFiles(gguf.metadata, files.pieces)))
  } finally {
    gguf.close()
  }
}
