/**
 * Bytes as ASCII symbols. The matcher's classes of characters go wrong where tokens end within a character, so that it is
 * given bytes for characters: those below 0x7f as themselves, each other one as 0x7f and a symbol of its own. Undefined for
 * bytes that no text has.
 */
export function asciiOfBytes(bytes: Uint8Array): string | undefined {
  if (bytes.includes(0xff)) return undefined
  return Array.from(bytes, (byte) => {
    if (byte < 0x7f) return String.fromCharCode(byte)
    return String.fromCharCode(0x7f, byte === 0x7f ? 0x7f : byte - 0x80)
  }).join('')
}

export type ByteRange = readonly [first: number, last: number]

/** The UTF-8 of the characters of a range that has no surrogates and no ASCII, as sequences of ranges of bytes. */
export function byteRanges(first: number, last: number): ByteRange[][] {
  const split = (at: number) => [...byteRanges(first, at), ...byteRanges(at + 1, last)]
  for (const most of [0x7ff, 0xffff]) {
    if (first <= most && most < last) return split(most)
  }
  for (let bits = 6; bits <= 18; bits += 6) {
    const low = 2 ** bits - 1
    if ((first & ~low) === (last & ~low)) continue
    if ((first & low) !== 0) return split(first | low)
    if ((last & low) !== low) return split((last & ~low) - 1)
  }
  const encode = (code: number) => new TextEncoder().encode(String.fromCodePoint(code))
  const ends = encode(last)
  return [Array.from(encode(first), (byte, index): ByteRange => [byte, ends[index]!])]
}
