import { inspect } from 'node:util'
import type { ChannelReader } from '../channel/channel.js'
import { InvalidInputError } from '../common/errors.js'
import type { ActorHooks } from '../common/hooks.js'
import type { ActorRecord } from '../protocol/actor.js'
import type { ActorClient } from '../runtime/actor-client.js'
import { type CallOptions, checkCallOptions } from '../runtime/call-options.js'
import { currentRuntime } from '../runtime/current.js'
import type { ObjectRef } from '../runtime/ref.js'
import { registerCodec } from '../transport/codec.js'
import type { IsAny, Sendable } from './sendable.js'

/** The result of a remote call of a method: items for one that yields, else a ref of what it returns or resolves to. */
export type RemoteResult<R> =
  IsAny<R> extends true
    ? ObjectRef<R>
    : [Awaited<R>] extends [ChannelReader<unknown>]
      ? ObjectRef<Awaited<R>>
      : [R] extends [AsyncIterable<infer T>]
        ? AsyncIterable<T>
        : [R] extends [Generator<infer T, unknown, never>]
          ? AsyncIterable<T>
          : ObjectRef<Awaited<R>>

/**
 * The arguments of a remote call: each may be given as a ref, and arrives as its value. Types that cannot be sent are
 * refused.
 */
export type RemoteArguments<A extends unknown[]> = { [I in keyof A]: Sendable<A[I]> | ObjectRef<A[I]> }

/** The names of a class's methods, without its hooks and what every object has by itself. */
export type MethodName<T> = Exclude<
  {
    [K in keyof T]: T[K] extends (...args: never[]) => unknown ? K : never
  }[keyof T] &
    string,
  keyof ActorHooks | keyof typeof Object.prototype | 'then' | 'toJSON'
>

/** A call that is made in another process. */
export type RemoteCall<A extends unknown[], R> = (...args: RemoteArguments<A>) => RemoteResult<R>

/**
 * A method as it is called through a handle. Up to four overloads are kept; the type parameters of a generic method become
 * what they are constrained to.
 */
export type RemoteMethod<F> = F extends {
  (...args: infer A1): infer R1
  (...args: infer A2): infer R2
  (...args: infer A3): infer R3
  (...args: infer A4): infer R4
}
  ? RemoteCall<A1, R1> & RemoteCall<A2, R2> & RemoteCall<A3, R3> & RemoteCall<A4, R4>
  : never

/** Methods as they are called through a handle. Declared so that they keep the doc comments of the class's own. */
export type RemoteMethods<T, Names extends keyof T> = { readonly [K in Names]: RemoteMethod<T[K]> }

/**
 * A typed proxy of an actor: its methods, called in the actor's process. Calls of one caller run in order, one at a time.
 * A handle can be passed to other actors, which then call it directly.
 */
export type Handle<T> = RemoteMethods<T, MethodName<T>>

/** Takes the calls that a function makes instead of their being sent, as who traces a graph does. */
export interface CallInterceptor {
  call(actor: ActorClient, method: string, args: unknown[]): unknown
}

/** Description of an actor, as {@link describeActor} gives it. */
export interface ActorDescription {
  readonly id: string
  readonly name: string
  readonly pid: number
  readonly nodeId: string
}

/** Names that are looked up on any object, so that they cannot be remote methods. */
const local: ReadonlySet<PropertyKey> = new Set(['then', 'toJSON', ...Object.getOwnPropertyNames(Object.prototype)])

/**
 * Names that libraries ask any object for and call at once: to print it, to compare it or to store it. They are remote where
 * the class has such a method; a function that the constructor keeps in a field under such a name is not found.
 */
const asked: ReadonlySet<string> = new Set([
  'inspect',
  'asymmetricMatch',
  'equals',
  'hashCode',
  'isEqual',
  'nodeType',
  'serialize',
  'tagName',
  'toBSON',
  'toISOString',
  'toObject',
  'toPOJO',
])

/** The actor that a handle stands for, for comparisons: handles of one actor are equal. */
const actorId = Symbol('actor')

/** The functions that give a value as text. */
const texts = [inspect.custom, Symbol.toPrimitive, 'toString', 'toLocaleString', 'toJSON'] as const

/** The target of a handle's proxy: all that is seen of a handle without calling the actor. */
class HandleTarget {
  static {
    Object.defineProperty(HandleTarget, 'name', { value: 'Handle' })
  }

  readonly [actorId]: string
  readonly #methods = new Map<string, (...args: unknown[]) => unknown>()

  constructor({ id, name }: ActorRecord) {
    this[actorId] = id
    const value = () => `Handle(${name})`
    for (const property of texts) Object.defineProperty(this, property, { value })
    Object.defineProperty(this, Symbol.toStringTag, { value: value() })
    Object.freeze(this)
  }

  /** The function that calls a method; made once, so that a handle gives the same one again. */
  method(name: string, make: () => (...args: unknown[]) => unknown): (...args: unknown[]) => unknown {
    let method = this.#methods.get(name)
    if (!method) {
      method = make()
      this.#methods.set(name, method)
    }
    return method
  }
}

const clients = new WeakMap<object, ActorClient>()

/** Whether a name of a handle stands for a method of the actor. */
function isRemote({ methods }: ActorRecord, property: PropertyKey): property is string {
  if (typeof property === 'symbol' || local.has(property)) return false
  const name = String(property)
  // A method may also be a function that the constructor keeps in a field, of which nothing is known here.
  return methods.includes(name) || !(asked.has(name) || /^(@@|\$\$|__)|\//.test(name))
}

let interceptor: CallInterceptor | undefined

/** The interceptor that takes the calls which are made now, if there is one. */
export function callInterceptor(): CallInterceptor | undefined {
  return interceptor
}

/** Runs a function whose calls are taken by an interceptor. */
export function intercepting<T>(by: CallInterceptor, run: () => T): T {
  const before = interceptor
  interceptor = by
  try {
    return run()
  } finally {
    interceptor = before
  }
}

/** Makes the handle of an actor. */
export function handleOf<T>(client: ActorClient, options?: CallOptions): Handle<T> {
  const handle = new Proxy(new HandleTarget(client.record), {
    get(target, property) {
      if (!isRemote(client.record, property)) return Reflect.get(target, property)
      return target.method(property, () => {
        const isGenerator = client.record.generators.includes(property)
        return (...args: unknown[]) => {
          if (interceptor) return interceptor.call(client, property, args)
          return isGenerator ? client.stream(property, args, options) : client.call(property, args, options)
        }
      })
    },
    has: (target, property) => client.record.methods.includes(String(property)) || property in target,
    set(_, property) {
      throw new InvalidInputError(`${client.record.name} is an actor; its property ${String(property)} cannot be set`)
    },
  })
  clients.set(handle, client)
  return handle as unknown as Handle<T>
}

/** The client behind a handle. */
export function clientOf(handle: object): ActorClient {
  const client = clients.get(handle)
  if (!client) throw new InvalidInputError('expected an actor handle, found another object')
  return client
}

/**
 * The same handle with options for the calls made through it.
 *
 * @throws InvalidInputError if an option is out of range
 * @example
 * ```ts
 * const controller = new AbortController()
 * const page = withOptions(crawler, { signal: controller.signal, deadline: 5000 }).fetch(url)
 * ```
 */
export function withOptions<H extends object>(handle: H, options: CallOptions): H {
  checkCallOptions(options)
  return handleOf(clientOf(handle), options) as H
}

/** Tells which actor a handle stands for. */
export function describeActor(handle: object): ActorDescription {
  const { id, name, pid, address } = clientOf(handle).record
  return { id, name, pid, nodeId: address.nodeId }
}

/**
 * Stops an actor once the calls that this process made before have been answered. Resolves when its process has ended.
 *
 * @throws ActorDiedError if it was dead already
 */
export async function stopActor(handle: object): Promise<void> {
  await clientOf(handle).stop()
}

/** Ends an actor's process at once; its pending calls fail. Resolves when the process has ended. */
export async function killActor(handle: object): Promise<void> {
  await clientOf(handle).kill()
}

registerCodec<object, ActorRecord>({
  name: 'troupe.handle',
  matches: (value): value is object => clients.has(value),
  encode: (handle) => clientOf(handle).record,
  decode: (record) => handleOf(currentRuntime().client(record)),
})
