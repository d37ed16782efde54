import { Packr, Unpackr } from 'msgpackr/pack'
import { decode, encode, type Subject } from './codec.js'

/**
 * A value as bytes that any process can keep and pass on, also one that has not registered the codecs in it. Nothing in it
 * refers to the memory of the process that sealed it.
 */
export interface Sealed {
  readonly bytes: Uint8Array
  readonly marked: boolean
  readonly attachments: readonly Uint8Array[]
}

const packr = new Packr({ useRecords: false })
const unpackr = new Unpackr({ useRecords: false })

/**
 * Seals a value. What it pins is the caller's to release, once nobody will open it any more.
 *
 * @throws InvalidInputError naming the path of what cannot be sent
 */
export function seal(value: unknown, subject: Subject): { sealed: Sealed; pins: (() => void)[] } {
  const { tree, marked, attachments, pins } = encode(value, subject, false)
  return { sealed: { bytes: packr.pack(tree), marked, attachments }, pins }
}

/**
 * The value of {@link seal}; every call gives a new copy.
 *
 * @param keep given what must settle before the pins are released
 */
export function unseal(
  { bytes, marked, attachments }: Sealed,
  keep: (until: Promise<unknown>) => void = () => {},
): unknown {
  // What a codec makes of an attachment may keep it, so each opening has its own.
  const own = attachments.map((attachment) => Uint8Array.from(attachment))
  return decode(unpackr.unpack(bytes), marked, own, false, keep)
}
