import { setTimeout as delay, setImmediate as nextTurn } from 'node:timers/promises'
import { Packr, Unpackr } from 'msgpackr/pack'
import { ObjectLostError, StoreFullError } from '../common/errors.js'
import { nodeStore } from '../store/store.js'
import { decode, type Encoded, encode } from '../transport/codec.js'
import { currentRuntime, runtimeOrNone } from './current.js'
import { reclaimAgain, reclaimStore } from './reclaim.js'
import { ObjectRef } from './ref.js'

/** Milliseconds between two attempts to find room in a full store. */
const RETRY_INTERVAL = 20

const packr = new Packr({ useRecords: false })
const unpackr = new Unpackr({ useRecords: false })

/** A value that was put: packed, with what it holds of the store. */
interface Packed {
  readonly bytes: Uint8Array
  readonly tagged: boolean
  readonly attachments: Uint8Array[]
  readonly pins: (() => void)[]
}

/** Lets go of what refs held that nothing uses any more. */
const collected = new FinalizationRegistry<(() => void)[]>(releaseAll)

/**
 * A ref of a value whose large parts lie in the store, where nothing maps them until it is awaited. Then it is opened in
 * place, and as long as what was opened is in use, awaiting it again gives the same.
 */
class PutRef<T> extends ObjectRef<T> {
  readonly #pins: (() => void)[] = []
  #packed: Packed | undefined
  #waiting: Promise<void> | undefined
  #opened: WeakRef<object> | undefined
  #isFreed = false

  constructor(id: string) {
    super(() => {}, id, { freed: () => this.#free() })
    collected.register(this, this.#pins, this)
  }

  hold(encoded: Encoded): void {
    const { tree, tagged, attachments, pins } = encoded
    this.#packed = { bytes: packr.pack(tree), tagged, attachments, pins }
    this.#pins.push(...pins)
    if (this.#isFreed) releaseAll(this.#pins)
  }

  /** Has room made, and tries again to find some until the deadline. */
  wait(value: T, deadline: number): void {
    const end = performance.now() + deadline
    const runtime = currentRuntime()
    const letGo = runtime.connections.hold()
    this.#waiting = (async () => {
      // Before it fails, whatever its deadline, all have been asked for what they hold and use no more.
      await reclaimStore(runtime)
      for (;;) {
        try {
          this.hold(encodeStored(value))
          return
        } catch (error) {
          if (!(error instanceof StoreFullError) || performance.now() >= end) throw error
        }
        await delay(RETRY_INTERVAL)
        await reclaimAgain(runtime)
      }
    })().finally(letGo)
    this.#waiting.catch(() => {})
  }

  // biome-ignore lint/suspicious/noThenProperty: the ref is a promise whose value is opened when it is asked for
  override then<A = T, B = never>(
    fulfilled?: ((value: T) => A | PromiseLike<A>) | null,
    rejected?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    const opened = (async () => {
      await this.#waiting
      // Memory of values that were opened before, and are in use no more, is given back between two turns of the event loop.
      if (!this.#opened?.deref() && (nodeStore()?.spilledBytes ?? 0) > 0) await nextTurn()
      return this.#open()
    })()
    return opened.then(fulfilled, rejected)
  }

  override async ready(): Promise<void> {
    await this.#waiting?.catch(() => {})
  }

  override settled(): Promise<void> {
    return this.ready()
  }

  override quietly(rejected: (reason: unknown) => void): void {
    this.#waiting?.catch(rejected)
  }

  #open(): T {
    const known = this.#opened?.deref()
    if (known !== undefined) return known as T
    if (this.#isFreed || !this.#packed) throw new ObjectLostError(`the value of the ref ${this.id} was released`)
    const { bytes, tagged, attachments } = this.#packed
    const value = decode(unpackr.unpack(bytes), tagged, attachments, true) as T
    // A value that pins something is an object.
    this.#opened = new WeakRef(value as object)
    return value
  }

  #free(): void {
    this.#isFreed = true
    runtimeOrNone()?.objects.unput(this.id)
    collected.unregister(this)
    releaseAll(this.#pins)
  }
}

/**
 * A ref of a value as it is now. While the store is full the ref waits for room, until its deadline.
 *
 * @throws InvalidInputError naming the path of what cannot be sent
 */
export function putValue<T>(value: T, id: string, deadline: number): ObjectRef<T> {
  try {
    const encoded = encodeStored(value)
    if (encoded.pins.length > 0) {
      const ref = new PutRef<T>(id)
      ref.hold(encoded)
      return ref
    }
    const { tree, tagged, attachments } = encoded
    const copy = decode(unpackr.unpack(packr.pack(tree)), tagged, attachments, true) as T
    const { objects } = currentRuntime()
    return new ObjectRef<T>((resolve) => resolve(copy), id, { freed: () => objects.unput(id) })
  } catch (error) {
    if (!(error instanceof StoreFullError)) throw error
    const ref = new PutRef<T>(id)
    ref.wait(value, deadline)
    return ref
  }
}

/** @throws StoreFullError naming what holds the memory */
function encodeStored(value: unknown): Encoded {
  try {
    return encode(value, 'the value', true, true)
  } catch (error) {
    if (!(error instanceof Error && error.message.startsWith('the object store has no room'))) throw error
    const holders = (nodeStore()?.usage ?? []).slice(0, 3).map(({ pid, objects, bytes }) => {
      return `process ${pid} holds ${objects} objects of ${(bytes / 2 ** 20).toFixed(1)} MiB`
    })
    throw new StoreFullError(`${error.message}; ${holders.join(', ')}`)
  }
}

function releaseAll(pins: (() => void)[]): void {
  for (const release of pins.splice(0)) release()
}
