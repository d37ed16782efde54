import type {
  ChatChunk,
  ChatMessage,
  ChatParams,
  ChatResult,
  EngineLoad,
  GenerationChunk,
  GenerationParams,
  GenerationResult,
  Stream,
} from '@troupe/llm'

/** What a server asks of a model. An InvalidInputError that it throws is the client's fault, every other error is the server's. */
export interface ServedModel {
  /** The name that clients give. */
  readonly name: string
  /** The most tokens of a prompt and its answer. */
  readonly contextLength: number
  /** What it has to do, and how full its KV cache is. */
  readonly load: EngineLoad
  readonly tokenizer: {
    /** The tokens of a text. */
    encode(text: string): Promise<number[]>
    /** The text of tokens. */
    decode(tokens: readonly number[]): string
  }
  /** Continues a text, or tokens. */
  generate(prompt: string | readonly number[], params?: GenerationParams): Stream<GenerationChunk, GenerationResult>
  /** Answers a chat. */
  chat(messages: readonly ChatMessage[], params?: ChatParams): Stream<ChatChunk, ChatResult>
  /** The text, and its tokens, that a chat is to the model. */
  chatPrompt(messages: readonly ChatMessage[], params?: ChatParams): Promise<{ text: string; tokens: number[] }>
  /** A vector for each text. */
  embed?(
    texts: readonly (string | readonly number[])[],
  ): Promise<{ embeddings: Float32Array[]; usage: { promptTokens: number } }>
}
