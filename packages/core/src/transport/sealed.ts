import { Packr, Unpackr } from 'msgpackr/pack'
import { decode, encode, type Subject } from './codec.js'

/**
 * A value as bytes that any process can keep and pass on, also one that has not registered the codecs in it. Sealed for a
 * process of the same node, it may refer to memory that they share; otherwise nothing in it does.
 */
export interface Sealed {
  readonly bytes: Uint8Array
  readonly tagged: boolean
  readonly attachments: readonly Uint8Array[]
  readonly sameNode: boolean
}

const packr = new Packr({ useRecords: false })
const unpackr = new Unpackr({ useRecords: false })

/**
 * Seals a value, by default for any node. The caller has to release what it pins, once nobody will open it any more.
 *
 * @throws InvalidInputError naming the path of what cannot be sent
 */
export function seal(value: unknown, subject: Subject, sameNode = false): { sealed: Sealed; pins: (() => void)[] } {
  const { tree, tagged, attachments, pins } = encode(value, subject, sameNode)
  return { sealed: { bytes: packr.pack(tree), tagged, attachments, sameNode }, pins }
}

/**
 * The value of {@link seal}; every call gives a new copy.
 *
 * @param keep given what must settle before the pins are released
 */
export function unseal(
  { bytes, tagged, attachments, sameNode }: Sealed,
  keep: (until: Promise<unknown>) => void = () => {},
): unknown {
  // A codec's value may keep an attachment, so each opening has its own.
  const own = attachments.map((attachment) => Uint8Array.from(attachment))
  return decode(unpackr.unpack(bytes), tagged, own, sameNode, keep)
}
