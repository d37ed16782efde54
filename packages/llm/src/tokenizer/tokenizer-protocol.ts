/** Questions to the process of the Rust library, by their kind. */
export interface Question {
  /** The tokens' texts by id, of a tokenizer whose ids and added tokens the caller has read. */
  pieces: { ids: Uint32Array; added: string[] }
  encode: { text: string; addSpecialTokens: boolean }
}

/** Its answers, by the kind of question. */
export interface Answer {
  pieces: { ids: Uint32Array; pieces: string[] }
  encode: Uint32Array
}

export type Request<K extends keyof Answer> = { kind: K } & Question[K]

/** A request as it is sent. */
export type Sent =
  | { kind: 'load'; tokenizer: number; json: string }
  | { kind: 'forget'; tokenizer: number }
  | (Request<'pieces'> & { tokenizer: number })
  | (Request<'encode'> & { tokenizer: number })

export type Reply = { value: unknown } | { error: string }
