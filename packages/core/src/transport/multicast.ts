import { Packr, Unpackr } from 'msgpackr/pack'
import { decode, encode, registerCodec, type Subject } from './codec.js'
import { INLINE_BYTES } from './type-tags.js'

/** A value as it travels to several receivers. */
interface Form {
  readonly packed: Uint8Array
  readonly tagged: boolean
  readonly attachments: readonly Uint8Array[]
  readonly pins: readonly (() => void)[]
}

/** The form of a {@link Multicast} in one message: packed, or the attachment that it is packed in, and its attachments. */
type Sent = [packed: Uint8Array | number, tagged: boolean, attachments: number[]]

const packr = new Packr({ useRecords: false })
const unpackr = new Unpackr({ useRecords: false, copyBuffers: true })

/**
 * A value that goes to several receivers, each of which gets the value itself: it is encoded once for all of this node, and
 * once for those of others. A tensor in private memory is thus copied once, and all of this node map that copy.
 */
export class Multicast {
  readonly #value: unknown
  readonly #subject: Subject
  readonly #forms = new Map<boolean, Form>()
  #users = 0

  constructor(value: unknown, subject: Subject) {
    this.#value = value
    this.#subject = subject
  }

  /** @throws InvalidInputError naming the path of what cannot be sent */
  formFor(sameNode: boolean): Form {
    let form = this.#forms.get(sameNode)
    if (!form) {
      const { tree, tagged, attachments, pins } = encode(this.#value, this.#subject, sameNode)
      form = { packed: packr.pack(tree), tagged, attachments, pins }
      this.#forms.set(sameNode, form)
    }
    return form
  }

  /** Keeps what the forms pin until the returned function is called, by every user. */
  use(): () => void {
    this.#users += 1
    return () => {
      this.#users -= 1
      if (this.#users > 0) return
      for (const { pins } of this.#forms.values()) for (const release of pins) release()
      this.#forms.clear()
    }
  }
}

registerCodec<Multicast, Sent>({
  name: 'troupe.multicast',
  matches: (value): value is Multicast => value instanceof Multicast,
  encode(multicast, context) {
    const { packed, tagged, attachments } = multicast.formFor(context.sameNode)
    context.pin(multicast.use())
    const indexes = attachments.map((attachment) => context.attachOwned(attachment))
    return [packed.length <= INLINE_BYTES ? packed : context.attachOwned(packed), tagged, indexes]
  },
  decode([packed, tagged, indexes], context) {
    const bytes = typeof packed === 'number' ? context.attachment(packed) : packed
    const attachments = indexes.map((index) => context.attachment(index))
    return decode(unpackr.unpack(bytes), tagged, attachments, context.sameNode, (until) =>
      context.keep(until),
    ) as Multicast
  },
})
