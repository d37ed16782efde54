import { inspect } from 'node:util'
import type { ChannelReader } from '../channel/channel.js'
import type { ActorRecord } from '../cluster/protocol.js'
import { currentTrace } from '../graph/trace.js'
import type { ActorClient } from '../runtime/actor-client.js'
import { currentRuntime } from '../runtime/runtime.js'
import { registerCodec } from '../transport/codec.js'
import { type CallOptions, checkCallOptions } from './call-options.js'
import { InvalidInputError } from './errors.js'
import type { ActorHooks } from './hooks.js'
import type { ObjectRef } from './ref.js'
import type { IsAny, Sendable } from './sendable.js'

/** What a remote call of a method gives: items for one that yields, else a ref of what it returns or resolves to. */
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

/** The arguments of a remote call: each may be given as a ref, and arrives as its value. What cannot be sent is refused. */
export type RemoteArguments<A extends unknown[]> = { [I in keyof A]: Sendable<A[I]> | ObjectRef<A[I]> }

/** The names of a class's methods, without its hooks. */
export type MethodName<T> = Exclude<
  {
    [K in keyof T]: T[K] extends (...args: never[]) => unknown ? K : never
  }[keyof T] &
    string,
  keyof ActorHooks
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

/**
 * A typed proxy of an actor: its methods, called in the actor's process. Calls of one caller run in order, one at a time.
 * A handle can be passed to other actors, which then call it directly.
 */
export type Handle<T> = { readonly [K in MethodName<T>]: RemoteMethod<T[K]> }

/** What {@link describeActor} tells of an actor. */
export interface ActorDescription {
  readonly id: string
  readonly name: string
  readonly pid: number
  readonly nodeId: string
}

/** What a handle's proxy stands before; its prototype tells handles from other objects. */
class HandleTarget {
  readonly methods = new Map<string, (...args: unknown[]) => unknown>()

  constructor(readonly client: ActorClient) {}
}

const clients = new WeakMap<object, ActorClient>()

/** Names that JavaScript itself looks up on any object, so that they cannot be remote methods. */
const reserved = new Set(['then', 'toJSON', 'constructor'])

/** Makes the handle of an actor. */
export function handleOf<T>(client: ActorClient, options?: CallOptions): Handle<T> {
  const handle = new Proxy(new HandleTarget(client), {
    get(target, property) {
      if (property === inspect.custom) return () => `Handle(${client.record.name})`
      if (typeof property === 'symbol' || reserved.has(property)) return undefined
      let method = target.methods.get(property)
      if (!method) {
        const isGenerator = client.record.generators.includes(property)
        method = (...args: unknown[]) => {
          const trace = currentTrace()
          if (trace) return trace.call(client, property, args)
          return isGenerator ? client.stream(property, args, options) : client.call(property, args, options)
        }
        target.methods.set(property, method)
      }
      return method
    },
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
