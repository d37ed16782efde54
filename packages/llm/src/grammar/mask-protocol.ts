/** What a thread is started with: a grammar and the tokens that texts are made of. */
export interface MaskThreadData {
  ebnf: string
  /** The tokens' bytes as ASCII symbols; none of those that no text has. */
  tokens: readonly string[]
  endTokens: readonly number[]
  /** The most bytes of memory that grammar and matchers may take. */
  memory: number
}

/** What is asked of it: texts are known by numbers. */
export type MaskRequest =
  | { kind: 'open'; text: number; shared: SharedArrayBuffer }
  | { kind: 'accept'; text: number; token: number }
  | { kind: 'close'; text: number }

/** It says once that it is ready, or why it cannot be; and may fail later. */
export type MaskReply = { kind: 'ready' } | { kind: 'failed'; problem: string }

/** Numbers before the mask in the memory that a text shares with the thread. */
export const HEADER = { steps: 0, state: 1, length: 2 } as const

/** What is known of a text after a step. */
export const STATE = { open: 0, ended: 1, refused: 2, failed: 3 } as const
