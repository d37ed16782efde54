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
 * Seals a value.
 *
 * @throws InvalidInputError naming the path of what cannot be sent
 */
export function seal(value: unknown, subject: Subject): Sealed {
  const { tree, marked, attachments } = encode(value, subject, false)
  return { bytes: packr.pack(tree), marked, attachments }
}

/** The value of {@link seal}; every call gives a new copy. */
export function unseal({ bytes, marked, attachments }: Sealed): unknown {
  // What a codec makes of an attachment may keep it, so each opening has its own.
  const own = attachments.map((attachment) => Uint8Array.from(attachment))
  return decode(unpackr.unpack(bytes), marked, own, false)
}
