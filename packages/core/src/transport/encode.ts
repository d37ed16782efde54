import { types } from 'node:util'
import { describe, propertyOf } from '../common/describe.js'
import { InvalidInputError } from '../common/errors.js'
import { storeBytes } from '../store/stored-bytes.js'
import type { Codec, EncodeContext, Subject } from './codec.js'
import { markOf } from './error-classes.js'
import { binaryClasses, INLINE_BYTES, kinds, TYPE_TAG } from './type-tags.js'

/** Levels that a value may be nested: what both ends can surely pack and unpack on their stacks. */
const MOST_LEVELS = 1000
/** Items of lists, fields of objects and entries of maps that one value may have together: some seconds of packing. */
export const MOST_PARTS = 2 ** 24
/** Bytes of arrays that one value may have as copies in a message. */
const MOST_COPIED_BYTES = 2 ** 32 - 1
/** Levels of causes that an error arrives with; of the next one its text. */
const MOST_CAUSES = 100
/** Steps of a path that a message shows at its beginning and at its end. */
const SHOWN_STEPS = 5

/**
 * Turns one value into a tree that msgpack can pack. A part that needs no mark is passed on as it is, without a copy.
 * Objects are numbered in the order they are met, which is also the order the decoder meets them in, so that a second
 * meeting travels as that number.
 */
export class Encoder implements EncodeContext {
  readonly attachments: Uint8Array[] = []
  readonly pins: (() => void)[] = []
  tagged = false
  readonly #codecs: ReadonlyMap<string, Codec>
  readonly #subject: Subject
  /** Whether a full store is an error; else bytes then travel as copies. */
  readonly #mustBeStored: boolean
  readonly #numbers = new Map<object, number>()
  readonly #path: (string | number)[] = []
  #levels = 0
  #causes = 0
  #parts = 0
  #copiedBytes = 0

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
    return this.attachOwned(copyOf(bytes))
  }

  attachOwned(bytes: Uint8Array): number {
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
    if (this.#levels === MOST_LEVELS) throw this.tooDeep()
    this.#numbers.set(value, this.#numbers.size)
    this.#levels += 1
    const encoded = this.#tree(value)
    this.#levels -= 1
    return encoded
  }

  #tree(value: object): unknown {
    if (Array.isArray(value)) {
      const items = this.#items(value)
      return value[0] === TYPE_TAG ? this.#mark(kinds.array, items) : items
    }
    return isPlainObject(value) ? this.#plain(value as Record<string, unknown>) : this.#instance(value)
  }

  #items(items: unknown[]): unknown[] {
    const { length } = items
    this.#count(length)
    let copy: unknown[] | undefined
    for (let index = 0; index < length; index++) {
      const item = this.#read(items, index)
      const encoded = this.#at(index, item)
      if (encoded !== item && !copy) copy = items.slice(0, index)
      copy?.push(encoded)
    }
    return copy ?? items
  }

  #plain(object: Record<string, unknown>): unknown {
    const keys = this.#keys(object)
    this.#count(keys.length)
    if (keys.some((key) => key === '__proto__' || !key.isWellFormed())) {
      return this.#mark(
        kinds.entries,
        keys.map((key) => [this.encode(key), this.#at(key, this.#read(object, key))]),
      )
    }
    const isOwn = Object.getPrototypeOf(object) === Object.prototype
    let copy: Record<string, unknown> | undefined = isOwn ? undefined : { ...object }
    for (const key of keys) {
      const value = this.#read(object, key)
      const encoded = this.#at(key, value)
      if (encoded === value) continue
      copy ??= { ...object }
      copy[key] = encoded
    }
    return copy ?? object
  }

  #instance(value: object): unknown {
    if (types.isMap(value)) {
      const entries: [unknown, unknown][] = []
      // A class that extends Map may iterate over something else, without an end.
      Map.prototype.forEach.call(value, (item, key) => entries.push([key, item]))
      this.#count(2 * entries.length)
      return this.#mark(
        kinds.map,
        entries.map(([key, item], index) => [this.#at(index, key), this.#at(index, item)]),
      )
    }
    if (types.isSet(value)) {
      const items: unknown[] = []
      Set.prototype.forEach.call(value, (item) => items.push(item))
      return this.#mark(kinds.set, this.#items(items))
    }
    if (types.isDate(value)) return this.#mark(kinds.date, Number(value))
    if (value instanceof Error || types.isNativeError(value)) return this.#error(value)
    if (ArrayBuffer.isView(value) || types.isArrayBuffer(value)) return this.#bytes(value)
    for (const codec of this.#codecs.values()) {
      if (codec.matches(value)) {
        return this.#mark(kinds.codec, codec.name, this.encode(codec.encode(value, this)))
      }
    }
    if (types.isRegExp(value)) return this.#mark(kinds.regExp, value.source, value.flags)
    if (value instanceof URL) return this.#mark(kinds.url, value.href)
    throw this.#refusal(
      `an instance of ${classNameOf(value) ?? 'an object without a class'}`,
      'send plain data, or register a codec for the class',
    )
  }

  /** An error must arrive whatever hangs on it. */
  #error(error: Error): unknown {
    const own: [string, unknown][] = []
    for (const key of Object.keys(error)) {
      const value = propertyOf(error, key)
      if (key !== 'name' && typeof value !== 'function' && typeof value !== 'symbol') own.push([key, value])
    }
    const parts = [
      this.encode(nameOf(error)),
      this.encode(describe(propertyOf(error, 'message'))),
      this.encode(describe(propertyOf(error, 'stack') ?? '')),
    ]
    const hidden: [string, unknown][] = []
    if ('cause' in error) hidden.push(['cause', propertyOf(error, 'cause')])
    if ('errors' in error && !Object.keys(error).includes('errors'))
      hidden.push(['errors', propertyOf(error, 'errors')])
    this.#causes += 1
    const properties = (list: [string, unknown][]) =>
      list.map(([key, value]) => [this.encode(key), this.#leniently(key, value)])
    const encoded = this.#mark(
      kinds.error,
      ...parts,
      properties(hidden),
      properties(own),
      markOf(error),
      Object.hasOwn(error, 'name'),
    )
    this.#causes -= 1
    return encoded
  }

  /** Encodes a property of an error, or a description of it where it cannot be sent. */
  #leniently(key: string, value: unknown): unknown {
    const [numbers, steps, levels, causes] = [this.#numbers.size, this.#path.length, this.#levels, this.#causes]
    const [parts, copiedBytes] = [this.#parts, this.#copiedBytes]
    const [attached, pinned] = [this.attachments.length, this.pins.length]
    if (causes > MOST_CAUSES && typeof value === 'object') return this.encode(describe(value).toWellFormed())
    try {
      return this.#at(key, value)
    } catch {
      this.#path.length = steps
      this.#levels = levels
      this.#causes = causes
      this.#parts = parts
      this.#copiedBytes = copiedBytes
      this.attachments.length = attached
      for (const release of this.pins.splice(pinned)) release()
      for (const [object, number] of this.#numbers) if (number >= numbers) this.#numbers.delete(object)
      return describe(value).toWellFormed()
    }
  }

  #bytes(value: ArrayBufferView | ArrayBuffer): unknown {
    const name = Buffer.isBuffer(value) ? 'Buffer' : classNameOf(value)
    const index = binaryClasses.findIndex((binary) => binary.name === name)
    if (index < 0) throw this.#refusal(`an instance of ${name}`, 'send one of the standard arrays')
    const bytes = ArrayBuffer.isView(value)
      ? new Uint8Array(value.buffer, value.byteOffset, value.byteLength)
      : new Uint8Array(value)
    const stored = this.sameNode ? storeBytes(bytes, this.#mustBeStored) : undefined
    if (stored) {
      this.pin(stored.release)
      return this.#mark(kinds.storedBytes, index, stored.handle, stored.offset, bytes.length)
    }
    this.#copiedBytes += bytes.length
    if (this.#copiedBytes > MOST_COPIED_BYTES) {
      const found = `of arrays of more than ${MOST_COPIED_BYTES} bytes together, as far as they are not in the object store,`
      throw this.#refusal(found, 'send them in several calls, or make room in the store')
    }
    const copy = copyOf(bytes)
    return bytes.length <= INLINE_BYTES
      ? this.#mark(kinds.bytes, index, copy)
      : this.#mark(kinds.attachedBytes, index, this.attachOwned(copy))
  }

  #count(parts: number): void {
    this.#parts += parts
    if (this.#parts > MOST_PARTS) throw this.tooMany()
  }

  #keys(object: object): string[] {
    try {
      return Object.keys(object)
    } catch (error) {
      throw this.#unreadable('an object whose keys cannot be read', error)
    }
  }

  #read(object: object, key: string | number): unknown {
    try {
      return (object as Record<string | number, unknown>)[key]
    } catch (error) {
      this.#path.push(key)
      throw this.#unreadable('a property that cannot be read', error)
    }
  }

  #unreadable(what: string, error: unknown): InvalidInputError {
    return this.#refusal(`${what} (${describe(error)})`)
  }

  #at(key: string | number, value: unknown): unknown {
    this.#path.push(key)
    const encoded = this.encode(value)
    this.#path.pop()
    return encoded
  }

  #mark(kind: number, ...parts: unknown[]): unknown[] {
    this.tagged = true
    return [TYPE_TAG, kind, ...parts]
  }

  /** The error for a value that has too many parts, as a list has that ends at an index of billions. */
  tooMany(): InvalidInputError {
    return this.#refusal(
      `part of a value of more than ${MOST_PARTS} items, fields and entries together`,
      'send numbers as a typed array or a Tensor, and the rest in several calls',
    )
  }

  /** The error for a value that is nested too deeply, or runs in circles that getters make. */
  tooDeep(): InvalidInputError {
    return this.#refusal(`nested more than ${MOST_LEVELS} levels deep`, 'send it as a list, or as text or bytes')
  }

  #refusal(found: string, remedy?: string): InvalidInputError {
    const [first, ...rest] = this.#path
    const isArgument = this.#subject === 'arguments' && typeof first === 'number'
    const subject = isArgument ? `argument ${first + 1}` : this.#subject
    const steps = (isArgument ? rest : this.#path).map((key) =>
      typeof key === 'number' ? `[${key}]` : /^[\w$]+$/.test(key) ? `.${key}` : `[${JSON.stringify(key)}]`,
    )
    const hidden = steps.length - 2 * SHOWN_STEPS
    if (hidden > 1) steps.splice(SHOWN_STEPS, hidden, `…(${hidden} more)…`)
    const where = steps.length > 0 ? `${subject}: ${steps.join('')}` : subject
    return new InvalidInputError(
      `${where} is ${found} and cannot be sent to another process${remedy ? `; ${remedy}` : ''}`,
    )
  }
}

function copyOf(bytes: Uint8Array): Uint8Array {
  const copy = Buffer.allocUnsafeSlow(bytes.length)
  copy.set(bytes)
  return copy
}

/** Whether an object is plain: one of this realm or of another, as those that `vm` and test runners make are. */
function isPlainObject(value: object): boolean {
  const prototype = Object.getPrototypeOf(value)
  if (prototype === Object.prototype || prototype === null) return true
  return Object.getPrototypeOf(prototype) === null && Object.hasOwn(prototype, 'isPrototypeOf')
}

function classNameOf(value: object): string | undefined {
  const name = (propertyOf(value, 'constructor') as { name?: unknown } | undefined)?.name
  return typeof name === 'string' ? name : undefined
}

/** The name an error's class goes by: `error.name` unless only the class carries it. */
function nameOf(error: Error): string {
  const name = describe(propertyOf(error, 'name') ?? 'Error')
  return name === 'Error' ? (classNameOf(error) ?? name) : name
}

function utf16(text: string): number[] {
  return Array.from({ length: text.length }, (_, index) => text.charCodeAt(index))
}
