const LETTERS: readonly string[] = letters()
const BYTES = new Map(LETTERS.map((letter, byte) => [letter, byte]))

/** The letters by which byte-level vocabularies write bytes: those that are printable as themselves, others by the first letters behind Latin-1. */
function letters(): string[] {
  const isOwn = (byte: number) => (byte > 32 && byte < 127) || (byte > 160 && byte !== 173)
  let others = 256
  return Array.from({ length: 256 }, (_, byte) => String.fromCodePoint(isOwn(byte) ? byte : others++))
}

/** The bytes that letters stand for, or undefined if one stands for none. */
export function bytesOfLetters(text: string): Uint8Array | undefined {
  const bytes = Array.from(text, (letter) => BYTES.get(letter))
  return bytes.includes(undefined) ? undefined : Uint8Array.from(bytes as number[])
}
