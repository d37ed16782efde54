import { InvalidInputError } from '../api/errors.js'
import { storeBytes } from '../store/stored-bytes.js'
import type { Codec, EncodeContext, Subject } from './codec.js'
import { binaryClasses, INLINE_BYTES, kinds, MARK } from './marks.js'

/**
 * Turns one value into a tree that msgpack can pack. A part that needs no mark is passed on as it is, without a copy.
 * Objects are numbered in the order they are met, which is also the order the decoder meets them in, so that a second
 * meeting travels as that number.
 */
export class Encoder implements EncodeContext {
  readonly attachments: Uint8Array[] = []
  readonly pins: (() => void)[] = []
  marked = false
  readonly #codecs: ReadonlyMap<string, Codec>
  readonly #subject: Subject
  /** Whether a full store is an error; else bytes then travel as copies. */
  readonly #mustBeStored: boolean
  readonly #numbers = new Map<object, number>()
  readonly #path: (string | number)[] = []

  constructor(
    codecs: ReadonlyMap<string, Codec>,
    subject: Subject,
    readonly sameNode: boolean,
    mustBeStored = false,
  ) {
    this.#mustBeStored = mustBeStored
    this.#codecs = codecs
    this.#subject = subject
  }

  attach(bytes: Uint8Array): number {
    return this.attachments.push(bytes) - 1
  }

  pin(release: () => void): void {
    this.pins.push(release)
  }

  encode(value: unknown): unknown {
    switch (typeof value) {
      case 'string':
        return value.isWellFormed() ? value : this.#mark(kinds.loneSurrogates, utf16(value))
      case 'number':
        return Object.is(value, -0) ? this.#mark(kinds.negativeZero) : value
      case 'bigint':
        return this.#mark(kinds.bigint, value.toString())
      case 'object':
        return value === null ? null : this.#object(value)
      case 'function':
      case 'symbol':
        throw this.#refusal(`a ${typeof value}`)
      default:
        return value
    }
  }

  #object(value: object): unknown {
    const number = this.#numbers.get(value)
    if (number !== undefined) return this.#mark(kinds.reference, number)
    this.#numbers.set(value, this.#numbers.size)
    if (Array.isArray(value)) {
      const items = this.#items(value)
      return value[0] === MARK ? this.#mark(kinds.array, items) : items
    }
    const prototype = Object.getPrototypeOf(value)
    if (prototype === Object.prototype || prototype === null) return this.#plain(value as Record<string, unknown>)
    return this.#instance(value)
  }

  #items(items: unknown[]): unknown[] {
    let copy: unknown[] | undefined
    for (let index = 0; index < items.length; index++) {
      const item = items[index]
      const encoded = this.#at(index, item)
      if (encoded !== item && !copy) copy = items.slice(0, index)
      copy?.push(encoded)
    }
    return copy ?? items
  }

  #plain(object: Record<string, unknown>): unknown {
    const keys = Object.keys(object)
    if (keys.some((key) => key === '__proto__' || !key.isWellFormed())) {
      return this.#mark(
        kinds.entries,
        keys.map((key) => [this.encode(key), this.#at(key, object[key])]),
      )
    }
    let copy: Record<string, unknown> | undefined = Object.getPrototypeOf(object) === null ? { ...object } : undefined
    for (const key of keys) {
      const encoded = this.#at(key, object[key])
      if (encoded === object[key]) continue
      copy ??= { ...object }
      copy[key] = encoded
    }
    return copy ?? object
  }

  #instance(value: object): unknown {
    if (value instanceof Map) {
      const entries = [...value].map(([key, item], index) => [this.#at(index, key), this.#at(index, item)])
      return this.#mark(kinds.map, entries)
    }
    if (value instanceof Set) return this.#mark(kinds.set, this.#items([...value]))
    if (value instanceof Date) return this.#mark(kinds.date, value.getTime())
    if (value instanceof Error) return this.#error(value)
    if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) return this.#bytes(value)
    for (const codec of this.#codecs.values()) {
      if (codec.matches(value)) {
        return this.#mark(kinds.codec, codec.name, this.encode(codec.encode(value, this)))
      }
    }
    if (value instanceof RegExp) return this.#mark(kinds.regExp, value.source, value.flags)
    if (value instanceof URL) return this.#mark(kinds.url, value.href)
    const name = value.constructor?.name ?? 'object without a class'
    throw this.#refusal(`an instance of ${name}`, 'send plain data, or register a codec for the class')
  }

  #error(error: Error): unknown {
    const own: [string, unknown][] = []
    for (const key of Object.keys(error)) {
      const value = (error as unknown as Record<string, unknown>)[key]
      if (key !== 'name' && typeof value !== 'function' && typeof value !== 'symbol') own.push([key, value])
    }
    const parts = [
      this.encode(nameOf(error)),
      this.encode(String(error.message)),
      this.encode(String(error.stack ?? '')),
    ]
    const hidden: [string, unknown][] = []
    if ('cause' in error) hidden.push(['cause', error.cause])
    if (error instanceof AggregateError) hidden.push(['errors', error.errors])
    const properties = (list: [string, unknown][]) =>
      list.map(([key, value]) => [this.encode(key), this.#leniently(key, value)])
    return this.#mark(kinds.error, ...parts, properties(hidden), properties(own))
  }

  /** An error must arrive whatever hangs on it, so what cannot be sent is described instead. */
  #leniently(key: string, value: unknown): unknown {
    const [before, depth] = [new Map(this.#numbers), this.#path.length]
    try {
      return this.#at(key, value)
    } catch {
      this.#path.length = depth
      for (const object of this.#numbers.keys()) if (!before.has(object)) this.#numbers.delete(object)
      return String(value)
    }
  }

  #bytes(value: ArrayBufferView | ArrayBuffer): unknown {
    const type = Buffer.isBuffer(value) ? Buffer : value.constructor
    const index = (binaryClasses as readonly unknown[]).indexOf(type)
    if (index < 0) throw this.#refusal(`an instance of ${value.constructor.name}`, 'send one of the standard arrays')
    const bytes = ArrayBuffer.isView(value)
      ? new Uint8Array(value.buffer, value.byteOffset, value.byteLength)
      : new Uint8Array(value)
    const stored = this.sameNode ? storeBytes(bytes, this.#mustBeStored) : undefined
    if (stored) {
      this.pin(stored.release)
      return this.#mark(kinds.storedBytes, index, stored.handle, stored.offset, bytes.length)
    }
    const copy = Buffer.allocUnsafeSlow(bytes.length)
    copy.set(bytes)
    return bytes.length <= INLINE_BYTES
      ? this.#mark(kinds.bytes, index, copy)
      : this.#mark(kinds.attachedBytes, index, this.attach(copy))
  }

  #at(key: string | number, value: unknown): unknown {
    this.#path.push(key)
    const encoded = this.encode(value)
    this.#path.pop()
    return encoded
  }

  #mark(kind: number, ...parts: unknown[]): unknown[] {
    this.marked = true
    return [MARK, kind, ...parts]
  }

  #refusal(found: string, remedy?: string): InvalidInputError {
    const [first, ...rest] = this.#path
    const isArgument = this.#subject === 'arguments' && typeof first === 'number'
    const subject = isArgument ? `argument ${first + 1}` : this.#subject
    const path = (isArgument ? rest : this.#path).map((key) =>
      typeof key === 'number' ? `[${key}]` : /^[\w$]+$/.test(key) ? `.${key}` : `[${JSON.stringify(key)}]`,
    )
    const where = path.length > 0 ? `${subject}: ${path.join('')}` : subject
    return new InvalidInputError(
      `${where} is ${found} and cannot be sent to another process${remedy ? `; ${remedy}` : ''}`,
    )
  }
}

/** The name an error's class goes by: `error.name` unless only the class carries it. */
function nameOf(error: Error): string {
  const name = String(error.name)
  return name === 'Error' && error.constructor?.name ? error.constructor.name : name
}

function utf16(text: string): number[] {
  return Array.from({ length: text.length }, (_, index) => text.charCodeAt(index))
}
