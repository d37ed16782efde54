import { ActorDiedError, InvalidInputError } from '../common/errors.js'
import type { ActorRecord, Coordinates, Dimensions } from '../protocol/actor.js'
import { currentRuntime } from '../runtime/current.js'
import { ObjectRef } from '../runtime/ref.js'
import { Multicast } from '../transport/multicast.js'
import { type GroupOptions, type Invitation, invite } from './communicator.js'
import {
  clientOf,
  type Handle,
  killActor,
  type MethodName,
  type RemoteArguments,
  type RemoteResult,
  stopActor,
} from './handle.js'

/** One actor of a mesh. */
export interface MeshMember<T> {
  /** Its place in the mesh it was spawned in, also when it is seen through a slice. */
  readonly coordinates: Coordinates
  readonly rank: number
  readonly handle: Handle<T>
}

/** The answer of one member. */
export interface MeshAnswer<V> {
  readonly coordinates: Coordinates
  readonly value: V
}

// biome-ignore lint/suspicious/noExplicitAny: methods of any shape
type AnyMethod = (...args: any[]) => any
type ArgumentsOf<T, K extends keyof T> = T[K] extends AnyMethod ? RemoteArguments<Parameters<T[K]>> : never
type AnswerOf<T, K extends keyof T> = T[K] extends AnyMethod ? Awaited<ReturnType<T[K]>> : never

/**
 * Actors arranged along named dimensions, called as one.
 *
 * @example
 * ```ts
 * const mesh = await RemoteWorker.spawnMesh({ pipeline: 2, tensor: 4 })
 * mesh.at({ pipeline: 1, tensor: 0 }).load()
 * for (const { coordinates, value } of await mesh.call('memory')) console.log(coordinates, value)
 * ```
 */
export class Mesh<T> {
  #next = 0

  /** @internal */
  constructor(
    /** Names and sizes of the dimensions, the first one being the slowest. */
    readonly dimensions: Dimensions,
    /** The members, the first dimension being the slowest. */
    readonly members: readonly MeshMember<T>[],
  ) {}

  /** The number of members. */
  get size(): number {
    return this.members.length
  }

  /**
   * The member at a place; every dimension of this mesh must be given.
   *
   * @throws InvalidInputError if a dimension is missing or unknown, or an index is outside of it
   */
  at(coordinates: Coordinates): Handle<T> {
    const missing = Object.keys(this.dimensions).filter((dimension) => !(dimension in coordinates))
    if (missing.length > 0) throw new InvalidInputError(`the coordinates lack the dimension ${missing.join(', ')}`)
    return this.slice(coordinates).members[0]!.handle
  }

  /**
   * The members at the given indices, as a mesh of the remaining dimensions.
   *
   * @throws InvalidInputError if a dimension is unknown or an index is outside of it
   */
  slice(fixed: Coordinates): Mesh<T> {
    for (const [dimension, index] of Object.entries(fixed)) {
      const size = this.dimensions[dimension]
      if (size === undefined) {
        throw new InvalidInputError(this.#lacks(dimension))
      }
      if (!Number.isInteger(index) || index < 0 || index >= size) {
        throw new InvalidInputError(`the index in dimension ${dimension} must be from 0 to ${size - 1}, found ${index}`)
      }
    }
    const remaining = Object.entries(this.dimensions).filter(([dimension]) => !(dimension in fixed))
    const members = this.members.filter(({ coordinates }) =>
      Object.entries(fixed).every(([dimension, index]) => coordinates[dimension] === index),
    )
    return new Mesh(Object.fromEntries(remaining), members)
  }

  /**
   * Calls a method of every member, and resolves with their answers in the order of the members. The arguments are encoded
   * once for all members of a node: they map the same memory of a tensor.
   *
   * @throws the first failure; the message of an error that a member threw begins with the member's name
   */
  async call<K extends MethodName<T>>(method: K, ...args: ArgumentsOf<T, K>): Promise<MeshAnswer<AnswerOf<T, K>>[]> {
    const answers = this.#callAll(method, args).map(async (ref, index) => {
      const { coordinates, handle } = this.members[index]!
      try {
        return { coordinates, value: (await ref) as AnswerOf<T, K> }
      } catch (error) {
        if (error instanceof Error && !(error instanceof ActorDiedError)) {
          error.message = `${clientOf(handle).record.name}.${method}: ${error.message}`
        }
        throw error
      }
    })
    return Promise.all(answers)
  }

  /**
   * Calls a method of one member, each time of the next one, so that calls spread evenly.
   *
   * @example
   * ```ts
   * const answers = await Promise.all(questions.map((question) => mesh.choose('answer', question)))
   * ```
   */
  choose<K extends MethodName<T>>(
    method: K,
    ...args: ArgumentsOf<T, K>
  ): T[K] extends AnyMethod ? RemoteResult<ReturnType<T[K]>> : never {
    const { handle } = this.members[this.#next++ % this.members.length]!
    const chosen = (handle as unknown as Record<string, AnyMethod>)[method]!
    return chosen(...args)
  }

  /**
   * Calls a method of every member without waiting for answers. The arguments are encoded as for {@link call}. A call that
   * fails is told in the log of its member, and counted in `cluster.actors()`.
   */
  broadcast<K extends MethodName<T>>(method: K, ...args: ArgumentsOf<T, K>): void {
    const runtime = currentRuntime()
    for (const [index, ref] of this.#callAll(method, args).entries()) {
      const { id, name } = clientOf(this.members[index]!.handle).record
      ref.quietly((error) => runtime.broadcastFailed({ id, name }, `${name}.${method}`, error))
      ref.release()
    }
  }

  #callAll(method: string, args: readonly unknown[]): ObjectRef<unknown>[] {
    const shared = args.map((arg, index) => {
      const isShared = typeof arg === 'object' && arg !== null && !(arg instanceof ObjectRef)
      return isShared ? new Multicast(arg, `argument ${index + 1}`) : arg
    })
    const uses = shared.flatMap((arg) => (arg instanceof Multicast ? [arg.use()] : []))
    const refs = this.members.map(({ handle }) => clientOf(handle).call(method, shared))
    for (const done of uses) done()
    return refs
  }

  /**
   * Invites the members to communicators along the given dimensions, by default all: the members that differ in these alone
   * are a group each, ranked as they stand in the mesh.
   *
   * @throws InvalidInputError if a dimension is unknown
   * @example
   * ```ts
   * const mesh = await RemoteWorker.spawnMesh({ pipeline: 2, tensor: 4 })
   * await mesh.call('join', mesh.communicator('tensor'))   // two groups of four
   * ```
   */
  communicator(
    dimensions: string | readonly string[] = Object.keys(this.dimensions),
    options: GroupOptions = {},
  ): Invitation {
    const along = [dimensions].flat()
    const unknown = along.find((dimension) => !(dimension in this.dimensions))
    if (unknown !== undefined) throw new InvalidInputError(this.#lacks(unknown))
    const groups = new Map<string, ActorRecord[]>()
    for (const { coordinates, handle } of this.members) {
      const fixed = Object.entries(coordinates).filter(([dimension]) => !along.includes(dimension))
      const key = JSON.stringify(fixed)
      groups.set(key, [...(groups.get(key) ?? []), clientOf(handle).record])
    }
    return invite({ name: along.join('×') || 'mesh', ...options }, [...groups.values()])
  }

  /** Stops every member once the calls that this process made before have been answered. */
  async stop(): Promise<void> {
    await Promise.all(this.members.map(({ handle }) => stopActor(handle)))
  }
  /** Ends every member's process at once; pending calls fail. */
  async kill(): Promise<void> {
    await Promise.all(this.members.map(({ handle }) => killActor(handle)))
  }

  #lacks(dimension: string): string {
    return `the mesh has no dimension ${dimension}; it has ${Object.keys(this.dimensions).join(', ') || 'none'}`
  }
}
