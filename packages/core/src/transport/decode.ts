import type { SharedMemoryHandle } from '@troupe/native'
import { openStored } from '../store/stored-bytes.js'
import type { Codec, DecodeContext } from './codec.js'
import { type ClassMark, prototypeOf } from './error-classes.js'
import { binaryClasses, kinds, TYPE_TAG } from './type-tags.js'

/**
 * Undoes the type tags of an encoded tree, in place.
 *
 * @throws TypeError if the tree was not made by the encoder, or needs a codec that this process has not registered
 */
export function decodeTree(tree: unknown, codecs: ReadonlyMap<string, Codec>, context: DecodeContext): unknown {
  return new Decoder(codecs, context).decode(tree)
}

class Decoder {
  readonly #codecs: ReadonlyMap<string, Codec>
  readonly #context: DecodeContext
  readonly #objects: unknown[] = []

  constructor(codecs: ReadonlyMap<string, Codec>, context: DecodeContext) {
    this.#codecs = codecs
    this.#context = context
  }

  decode(node: unknown): unknown {
    if (typeof node !== 'object' || node === null) return node
    if (!Array.isArray(node)) {
      const object = this.#met(node as Record<string, unknown>)
      for (const key of Object.keys(object)) object[key] = this.decode(object[key])
      return object
    }
    return node[0] === TYPE_TAG ? this.#unmark(node) : this.#items(this.#met(node))
  }

  #met<T>(object: T): T {
    this.#objects.push(object)
    return object
  }

  #items(items: unknown[]): unknown[] {
    for (let index = 0; index < items.length; index++) items[index] = this.decode(items[index])
    return items
  }

  #unmark(node: unknown[]): unknown {
    const [, kind, first, second, third, fourth] = node
    switch (kind) {
      case kinds.reference:
        if (!((first as number) in this.#objects)) throw new TypeError('a cycle runs through a value with a codec')
        return this.#objects[first as number]
      case kinds.array:
        return this.#items(this.#met(first as unknown[]))
      case kinds.entries: {
        const object = this.#met({})
        for (const [key, value] of first as [unknown, unknown][]) define(object, this.decode(key), this.decode(value))
        return object
      }
      case kinds.map: {
        const map = this.#met(new Map())
        for (const [key, value] of first as [unknown, unknown][]) map.set(this.decode(key), this.decode(value))
        return map
      }
      case kinds.set: {
        const set = this.#met(new Set())
        for (const item of first as unknown[]) set.add(this.decode(item))
        return set
      }
      case kinds.date:
        return this.#met(new Date(first as number))
      case kinds.bigint:
        return BigInt(first as string)
      case kinds.negativeZero:
        return -0
      case kinds.loneSurrogates:
        return (first as number[]).map((code) => String.fromCharCode(code)).join('')
      case kinds.error:
        return this.#error(node)
      case kinds.bytes:
        return this.#met(viewOf(first as number, Uint8Array.from(second as Uint8Array)))
      case kinds.attachedBytes:
        return this.#met(viewOf(first as number, this.#context.attachment(second as number)))
      case kinds.storedBytes: {
        const bytes = openStored(second as SharedMemoryHandle, third as number, fourth as number)
        return this.#met(viewOf(first as number, bytes))
      }
      case kinds.regExp:
        return this.#met(new RegExp(first as string, second as string))
      case kinds.url:
        return this.#met(new URL(first as string))
      case kinds.codec:
        return this.#coded(first as string, second)
      default:
        throw new TypeError(`the message holds a value of an unknown kind, ${kind}`)
    }
  }

  #coded(name: string, data: unknown): unknown {
    const codec = this.#codecs.get(name)
    if (!codec) {
      throw new TypeError(`no codec named ${name} is registered in this process; import the module that registers it`)
    }
    const number = this.#objects.length++
    const value = codec.decode(this.decode(data), this.#context)
    this.#objects[number] = value
    return value
  }

  #error([, , ...parts]: unknown[]): Error {
    const name = this.decode(parts[0]) as string
    const message = this.decode(parts[1]) as string
    const error = this.#met(errorOf(name, message, parts[5] as ClassMark | undefined, parts[6] as boolean))
    error.stack = this.decode(parts[2]) as string
    for (const [key, value] of parts[3] as [unknown, unknown][]) {
      const [property, decoded] = [this.decode(key) as string, this.decode(value)]
      Object.defineProperty(error, property, { value: decoded, configurable: true, writable: true })
    }
    for (const [key, value] of parts[4] as [unknown, unknown][]) define(error, this.decode(key), this.decode(value))
    return error
  }
}

/** An error of a class that both processes have, or of none but with the name. */
function errorOf(name: string, message: string, mark: ClassMark | undefined, hasOwnName: boolean): Error {
  if (mark?.startsWith('DOMException ')) return new DOMException(message, name)
  const error = new Error(message)
  const prototype = prototypeOf(mark ?? name)
  if (prototype) Object.setPrototypeOf(error, prototype)
  if (!prototype || hasOwnName)
    Object.defineProperty(error, 'name', { value: name, configurable: true, writable: true })
  return error
}

function define(object: object, key: unknown, value: unknown): void {
  Object.defineProperty(object, key as string, { value, configurable: true, enumerable: true, writable: true })
}

/** A view of the wanted class on received bytes; a copy where their place in memory does not suit the class. */
function viewOf(classIndex: number, bytes: Uint8Array): unknown {
  const type = binaryClasses[classIndex]
  if (!type) throw new TypeError(`the message holds an array of an unknown class, ${classIndex}`)
  if (type === Buffer) return Buffer.from(bytes.buffer as ArrayBuffer, bytes.byteOffset, bytes.length)
  if (type === ArrayBuffer) {
    const isWhole = bytes.byteOffset === 0 && bytes.length === bytes.buffer.byteLength
    return isWhole ? bytes.buffer : bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length)
  }
  const width = 'BYTES_PER_ELEMENT' in type ? type.BYTES_PER_ELEMENT : 1
  const aligned = bytes.byteOffset % width === 0 ? bytes : Uint8Array.from(bytes)
  const View = type as new (buffer: ArrayBufferLike, offset: number, length: number) => ArrayBufferView
  return new View(aligned.buffer, aligned.byteOffset, aligned.length / width)
}
