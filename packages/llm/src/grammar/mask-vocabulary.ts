/** The tokens of a model, of which texts are made. */
export interface MaskVocabulary {
  /** How many numbers the model's logits are, at least as many as it has tokens. */
  readonly size: number
  /** The token's bytes; undefined of those that no text shows. */
  tokenBytes(token: number): Uint8Array | undefined
  /** Tokens of which any ends a text. */
  readonly endTokens: readonly number[]
}
