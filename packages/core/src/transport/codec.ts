import { InvalidInputError } from '../common/errors.js'
import { decodeTree } from './decode.js'
import { Encoder, MOST_PARTS } from './encode.js'
import { TYPE_TAG } from './type-tags.js'

/** The means of a codec's `encode`. */
export interface EncodeContext {
  /** Whether the receiver runs on the same node, so that it can map this process's shared memory. */
  readonly sameNode: boolean
  /**
   * Sends a copy of bytes as a frame of its own.
   * @returns the index that `attachment` finds it by
   */
  attach(bytes: Uint8Array): number
  /**
   * The same without a copy, of bytes whose memory nobody else can pass to another thread: threads that send read them when
   * JavaScript has gone on.
   * @internal
   */
  attachOwned(bytes: Uint8Array): number
  /**
   * Holds a resource for the receiver. `release` is called once: when the receiver has decoded the message, when the
   * message could not be delivered, or when the receiver has died.
   */
  pin(release: () => void): void
}

/** The means of a codec's `decode`. */
export interface DecodeContext {
  readonly sameNode: boolean
  /** The bytes that `attach` returned this index for; they may be kept. */
  attachment(index: number): Uint8Array
  /** Keeps what the sender has pinned until a promise has settled. */
  keep(until: Promise<unknown>): void
}

/**
 * The form in which instances of a class travel. Register the same codec in every process: at the top level of the module
 * that defines the class.
 */
export interface Codec<T = unknown, D = unknown> {
  /** Names the codec on the wire; unique in a process. */
  readonly name: string
  /** Whether this codec is the one for a value; asked only for values that are neither primitive nor plain. */
  matches(value: object): value is T & object
  /** Returns the data that stands for the value: anything that can itself be sent. */
  encode(value: T, context: EncodeContext): D
  /** Makes the value of what `encode` returned, in the receiver. */
  decode(data: D, context: DecodeContext): T
}

const codecs = new Map<string, Codec>()

/**
 * Registers a codec for a class whose instances are to be passed to actors.
 *
 * @throws InvalidInputError if the name is taken
 * @example
 * registerCodec({
 *   name: 'Point',
 *   matches: (value) => value instanceof Point,
 *   encode: (point) => [point.x, point.y],
 *   decode: ([x, y]) => new Point(x, y),
 * })
 */
export function registerCodec<T, D>(codec: Codec<T, D>): void {
  if (codecs.has(codec.name)) throw new InvalidInputError(`a codec named ${codec.name} is registered already`)
  codecs.set(codec.name, codec as unknown as Codec)
}

/** A value ready to be sent: what msgpack packs, and the frames beside it. */
export interface Encoded {
  readonly subject: Subject
  readonly tree: unknown
  /** Whether the tree holds type tags that the receiver has to undo. */
  readonly tagged: boolean
  readonly attachments: Uint8Array[]
  /** Functions to call once the receiver has decoded the value. */
  readonly pins: (() => void)[]
}

/**
 * The name of the value that is sent in errors: `the result of Counter.add`. For a list of `arguments`, the path begins with
 * the number of the argument.
 */
export type Subject = string

/**
 * Encodes a value.
 *
 * @param mustBeStored whether large bytes that find no room in the store are an error, and do not travel as copies
 * @throws InvalidInputError naming the path of what cannot be sent: a function, a symbol, an instance of a class without a
 * codec, what is nested too deeply. All that had been pinned by then is released.
 */
export function encode(value: unknown, subject: Subject, sameNode: boolean, mustBeStored = false): Encoded {
  if (isPlain(value) || isListOfPlain(value)) {
    return { subject, tree: value, tagged: false, attachments: [], pins: [] }
  }
  const encoder = new Encoder(codecs, subject, sameNode, mustBeStored)
  try {
    const tree = encoder.encode(value)
    return { subject, tree, tagged: encoder.tagged, attachments: encoder.attachments, pins: encoder.pins }
  } catch (error) {
    for (const release of encoder.pins) release()
    throw isStackOverflow(error) ? encoder.tooDeep() : error
  }
}

function isStackOverflow(error: unknown): boolean {
  return error instanceof RangeError && error.message === 'Maximum call stack size exceeded'
}

function isListOfPlain(value: unknown): boolean {
  return Array.isArray(value) && value.length <= MOST_PARTS && value.every(isPlain) && value[0] !== TYPE_TAG
}

/** Whether a value travels as it is; most arguments and results of calls do. */
function isPlain(value: unknown): boolean {
  switch (typeof value) {
    case 'number':
      return !Object.is(value, -0)
    case 'string':
      return value.isWellFormed()
    case 'boolean':
    case 'undefined':
      return true
    default:
      return value === null
  }
}

/** Decodes what {@link encode} made, after it has travelled. */
export function decode(
  tree: unknown,
  tagged: boolean,
  attachments: Uint8Array[],
  sameNode: boolean,
  keep: (until: Promise<unknown>) => void = () => {},
): unknown {
  if (!tagged) return tree
  return decodeTree(tree, codecs, { sameNode, keep, attachment: (index) => attachmentAt(attachments, index) })
}

function attachmentAt(attachments: Uint8Array[], index: number): Uint8Array {
  const bytes = attachments[index]
  if (!bytes) throw new RangeError(`the message has ${attachments.length} attachments, none at ${index}`)
  return bytes
}
