import { existsSync } from 'node:fs'
import { basename, resolve } from 'node:path'
import { type Cluster, connect, InvalidInputError } from '@troupe/core'
import type { ChatMessage } from '../chat/messages.js'
import { ChatPrompts } from '../chat/prompt.js'
import { TOOL_CALL_FORMATS, type ToolCallFormat } from '../chat/tool-calls/formats.js'
import { Engine, type EngineOptions } from '../engine/engine.js'
import type { EngineLoad } from '../engine/load.js'
import { checkText } from '../engine/options.js'
import type { DownloadProgress } from '../hub/fetch-files.js'
import { resolveModel } from '../hub/resolve-model.js'
import { Tokenizer } from '../tokenizer/tokenizer.js'
import { Answers } from './answers.js'
import { ChatCollector } from './chat-collector.js'
import { ChatRequest } from './chat-request.js'
import { checkParams } from './check-params.js'
import { ChunkStream } from './chunk-stream.js'
import { type GenerationDefaults, generationDefaults } from './defaults.js'
import { type EmbeddingParams, type EmbeddingResult, embeddingParamsOf, normalized } from './embedding.js'
import type { ChatChunk, ChatResult, Choice, GenerationChunk, GenerationResult, Stream } from './generation.js'
import type { ChatParams, GenerationParams } from './params.js'

/** How a model is loaded: what an engine takes, where it runs, and what is not known from its files. */
export interface LoadOptions extends Omit<EngineOptions, 'model'> {
  /** Where it runs; by default a cluster of its own, as {@link connect} gives it, which ends with it. */
  cluster?: Cluster
  /** What it is called; by default the name of its folder or file. */
  name?: string
  /** How it writes calls of tools; by default as its chat template shows. */
  toolParser?: ToolCallFormat
  /** Is told how far the download of a model is that has to be fetched from the hub. */
  onProgress?: (progress: DownloadProgress) => void
}

const CHAT_PARAMS: Record<Exclude<keyof ChatParams, keyof GenerationParams>, true> = {
  ...{ tools: true, toolChoice: true, parallelToolCalls: true, templateVariables: true, continueLast: true },
}

/**
 * A language model that answers texts and chats, many at once. Answers that are asked for at the same time are computed
 * together; `Promise.all` of them is a batch.
 *
 * @example
 * ```ts
 * await using llm = await LLM.load('models/tales', { plan: { pipeline: 2 } })
 * const { choices } = await llm.generate('Once upon a time', { maxTokens: 100 })
 * for await (const { content } of llm.chat([{ role: 'user', content: 'Hello' }])) process.stdout.write(content ?? '')
 * ```
 */
export class LLM {
  readonly #answers: Answers
  readonly #prompts: ChatPrompts
  readonly #toolParser: ToolCallFormat | undefined
  readonly #ownCluster: Cluster | undefined

  private constructor(
    /** What it is called. */
    readonly name: string,
    readonly tokenizer: Tokenizer,
    readonly engine: Engine,
    /** Parameters by the model's generation_config.json, used where a call leaves them out. */
    readonly defaults: GenerationDefaults,
    private readonly path: string,
    toolParser: ToolCallFormat | undefined,
    ownCluster: Cluster | undefined,
  ) {
    this.#answers = new Answers(engine, tokenizer)
    this.#prompts = new ChatPrompts(tokenizer.chatFiles, name)
    this.#toolParser = toolParser
    this.#ownCluster = ownCluster
  }

  /**
   * Loads a model from a Hugging Face directory or a GGUF file, or by its name on the Hugging Face hub, from which it is fetched if it
   * has not been (see {@link resolveModel}).
   * @throws InvalidInputError if it cannot be used, or has no tokenizer.
   */
  static async load(model: string, options: LoadOptions = {}): Promise<LLM> {
    const { cluster, name, toolParser, onProgress, ...engineOptions } = options
    if (toolParser !== undefined && !TOOL_CALL_FORMATS.includes(toolParser)) {
      throw new InvalidInputError(`toolParser must be one of ${TOOL_CALL_FORMATS.join(', ')}; found ${toolParser}`)
    }
    const path = resolve(await resolveModel(model, onProgress ? { onProgress } : {}))
    const tokenizer = await Tokenizer.open(path)
    if (!tokenizer) {
      throw new InvalidInputError(`${model} has no tokenizer; add its tokenizer.json, or run it on tokens with Engine`)
    }
    const ownCluster = cluster ? undefined : await connect()
    try {
      const engine = await Engine.start(cluster ?? ownCluster!, { ...engineOptions, model: path })
      try {
        const defaults = generationDefaults(path, engine.config.vocabularySize)
        return new LLM(name ?? nameOf(model, path), tokenizer, engine, defaults, path, toolParser, ownCluster)
      } catch (error) {
        await engine.stop()
        throw error
      }
    } catch (error) {
      await ownCluster?.shutdown()
      throw error
    }
  }

  /** The most tokens of a prompt and its answer. */
  get contextLength(): number {
    return this.engine.contextLength
  }

  /** What it has to do, and how full its KV cache is. */
  get load(): EngineLoad {
    return this.engine.load
  }

  /**
   * Continues a text, or tokens. Work begins at once.
   * @throws InvalidInputError, through the stream, if the prompt is empty or too long, or a parameter is not one or cannot be.
   */
  generate(
    prompt: string | readonly number[],
    params: GenerationParams = {},
  ): Stream<GenerationChunk, GenerationResult> {
    return new ChunkStream(async ({ give, usage, count, signal }) => {
      const all = this.#checked(params)
      const tokens = typeof prompt === 'string' ? await this.tokenizer.encode(prompt) : prompt
      const texts: { text: string; tokens: number[]; logProbs: NonNullable<Choice['logProbs']>[number][] }[] = []
      const choices: Choice[] = []
      const keep = (index: number, { text, tokens, logProbs = [] }: Omit<GenerationChunk, 'index'>) => {
        texts[index] ??= { text: '', tokens: [], logProbs: [] }
        texts[index].text += text
        texts[index].tokens.push(...tokens)
        texts[index].logProbs.push(...logProbs)
        return texts[index]
      }
      await this.#answers.run(
        { prompt: tokens, params: all, shown: [], structure: all.structure },
        {
          usage,
          count,
          signal,
          add: (index, piece) => {
            keep(index, piece)
            give({ index, ...piece })
          },
          end: (index, piece, end) => {
            const { text, tokens, logProbs } = keep(index, piece)
            choices[index] = { index, text, tokens, ...(all.logProbs === undefined ? {} : { logProbs }), ...end }
            give({ index, ...piece, ...end })
          },
        },
      )
      return { choices, usage: { ...usage } }
    }, signalOf(params))
  }

  /**
   * Answers a chat by the model's own template, with reasoning and calls of tools apart from content. What messages say is part
   * of the prompt's text, so that texts of special tokens in them become those tokens.
   * @throws InvalidInputError, through the stream, as generate() does; if the model has no chat template, or it refuses the chat.
   */
  chat(messages: readonly ChatMessage[], params: ChatParams = {}): Stream<ChatChunk, ChatResult> {
    return new ChunkStream(async ({ give, usage, count, signal }) => {
      const all = this.#checked(params, Object.keys(CHAT_PARAMS))
      const request = this.#chatRequest(messages, params)
      const prompt = await this.tokenizer.encode(request.text, { addSpecialTokens: false })
      const collectors: ChatCollector[] = []
      const of = (index: number) => {
        collectors[index] ??= new ChatCollector(index, request.parser(), give)
        return collectors[index]
      }
      await this.#answers.run(
        { prompt, params: all, shown: request.shown, structure: request.structure },
        {
          usage,
          count,
          signal,
          add: (index, piece) => of(index).add(piece),
          end: (index, piece, end) => of(index).end(piece, end),
        },
      )
      return { choices: collectors.map(({ choice }) => choice), usage: { ...usage } }
    }, signalOf(params))
  }

  /**
   * The prompt that chat() would continue, as text and as tokens.
   * @throws InvalidInputError as chat() does.
   */
  async chatPrompt(
    messages: readonly ChatMessage[],
    params: ChatParams = {},
  ): Promise<{ text: string; tokens: number[] }> {
    this.#checked(params, Object.keys(CHAT_PARAMS))
    const { text } = this.#chatRequest(messages, params)
    return { text, tokens: await this.tokenizer.encode(text, { addSpecialTokens: false }) }
  }

  /**
   * Gives a vector for each text: its tokens' hidden states behind the model's last norm, pooled and normalized as its files for
   * sentence-transformers say, else that of the last token with length 1. Texts get the special tokens that the tokenizer adds.
   * @throws InvalidInputError naming the text that is empty or too long; if a parameter is not one, or the files ask for what is not
   * computed here.
   */
  async embed(texts: readonly (string | readonly number[])[], params: EmbeddingParams = {}): Promise<EmbeddingResult> {
    if (!Array.isArray(texts)) throw new InvalidInputError('expected a list of texts, or of their tokens')
    const { pooling, normalize } = embeddingParamsOf(this.path, params)
    const prompts = await Promise.all(
      texts.map((text) => (typeof text === 'string' ? this.tokenizer.encode(text) : text)),
    )
    for (const [index, prompt] of prompts.entries()) {
      const name = prompts.length === 1 ? 'the text' : `text ${index + 1} of ${prompts.length}`
      checkText(prompt, this.contextLength, this.engine.config.vocabularySize, name)
    }
    const vectors = await Promise.all(prompts.map((prompt) => this.engine.embed(prompt, pooling)))
    return {
      embeddings: normalize ? vectors.map(normalized) : vectors,
      usage: { promptTokens: prompts.reduce((sum, { length }) => sum + length, 0) },
    }
  }

  /** Ends the model's workers, and its cluster if that is its own. */
  async stop(): Promise<void> {
    await this.engine.stop()
    await this.#ownCluster?.shutdown()
  }

  /** As stop(). */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }

  #chatRequest(messages: readonly ChatMessage[], params: ChatParams): ChatRequest {
    return new ChatRequest(this.#prompts, messages, params, this.name, this.#toolParser)
  }

  /** The parameters of generation with the model's defaults. */
  #checked(params: ChatParams, more: readonly string[] = []): GenerationParams {
    checkParams(params, this.engine.config.vocabularySize, more)
    const given = Object.entries(params).filter(([name, value]) => value !== undefined && !more.includes(name))
    return { ...this.defaults, ...Object.fromEntries(given) }
  }
}

/** A model of the hub is called what it is called there. */
function nameOf(model: string, path: string): string {
  return existsSync(model) ? basename(path, '.gguf') : model
}

/** The signal, if it is one; else the check of the parameters refuses it. */
function signalOf({ signal }: GenerationParams): AbortSignal | undefined {
  return signal instanceof AbortSignal ? signal : undefined
}
