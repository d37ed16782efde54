/** The text of a tokenizer.json: BPE over single letters, with some fields changed. */
export function tokenizerJson(fields: Record<string, unknown> = {}, model: Record<string, unknown> = {}): string {
  return JSON.stringify({
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: [],
    normalizer: null,
    pre_tokenizer: null,
    post_processor: null,
    decoder: null,
    model: { type: 'BPE', unk_token: null, vocab: { a: 0, b: 1, c: 2, ab: 3 }, merges: [['a', 'b']], ...model },
    ...fields,
  })
}

/** An entry of added_tokens. */
export function addedToken(id: number, content: string, flags: object = {}): object {
  const plain = { special: false, single_word: false, lstrip: false, rstrip: false, normalized: false }
  return { id, content, ...plain, ...flags }
}

/** The letters by which a byte-level vocabulary writes bytes. */
export function byteLetters(bytes: Uint8Array): string {
  const own = (byte: number) => (byte > 32 && byte < 127) || (byte > 160 && byte !== 173)
  const others = Array.from({ length: 256 }, (_, byte) => byte).filter((byte) => !own(byte))
  return Array.from(bytes, (byte) => String.fromCodePoint(own(byte) ? byte : 256 + others.indexOf(byte))).join('')
}
