import { inspect } from 'node:util'
import { InvalidInputError } from '../common/errors.js'
import { hooks } from '../common/hooks.js'
import type { ActorClass, Coordinates, Dimensions, MemberRequest, Spawned, SpawnRequest } from '../protocol/actor.js'
import type { ActorClient } from '../runtime/actor-client.js'
import { currentRuntime } from '../runtime/current.js'
import { ObjectRef } from '../runtime/ref.js'
import { pinRef } from '../runtime/ref-codec.js'
import { argumentOf } from '../runtime/remote-argument.js'
import { type Sealed, seal } from '../transport/sealed.js'
import { isGenerator } from './generators.js'
import { type Handle, handleOf, type RemoteArguments } from './handle.js'
import { Mesh } from './mesh.js'
import { placeRequest } from './place-options.js'
import { checkSpawnOptions, MAX_PENDING_CALLS, type SpawnOptions, START_TIMEOUT } from './spawn-options.js'

/** A class whose instances can be actors. */
// biome-ignore lint/suspicious/noExplicitAny: any constructor is accepted
export type Constructor<T = object> = new (...args: any[]) => T

/** The place of a member in its mesh. */
export interface MemberPlace {
  readonly coordinates: Coordinates
  readonly rank: number
  readonly size: number
}

const classes = new Map<string, Constructor>()

/** The class that a module made an actor of in this process. @internal */
export function registeredClass(module: string, exportName: string): Constructor | undefined {
  return classes.get(`${module}#${exportName}`)
}

/**
 * Makes a class spawnable as an actor in a process of its own.
 *
 * @param module `import.meta.url` of the module this is called in: workers import it
 * @param actorClass the class; its methods are what can be called
 * @param exportName distinguishes classes of one name in a module
 * @throws InvalidInputError if the class has no name, or the module has an actor of that name already
 * @example
 * ```ts
 * export class Counter {
 *   constructor(private n = 0) {}
 *   add(by = 1) { return (this.n += by) }
 * }
 * export const RemoteCounter = actor(import.meta.url, Counter)
 *
 * const counter = await RemoteCounter.spawn(10)
 * const total = await counter.add(5)
 * ```
 */
export function actor<C extends Constructor>(module: string, actorClass: C, exportName?: string): RemoteClass<C> {
  const name = exportName ?? actorClass.name
  if (!name) throw new InvalidInputError(`a class without a name cannot be an actor; name it, in ${module}`)
  const key = `${module}#${name}`
  const known = classes.get(key)
  if (known && known !== actorClass) {
    throw new InvalidInputError(`${module} has an actor named ${name} already; give this one another exportName`)
  }
  classes.set(key, actorClass)
  const className = actorClass.name || name
  return new RemoteClass<C>({ module, exportName: name, className, ...methodsOf(actorClass) }, {})
}

/** The names of a class's methods and of those among them that are generators, inherited ones too. */
function methodsOf(actorClass: Constructor): Pick<ActorClass, 'methods' | 'generators'> {
  const methods = new Set<string>()
  const generators = new Set<string>()
  for (let level = actorClass.prototype; level && level !== Object.prototype; level = Object.getPrototypeOf(level)) {
    for (const [name, { value }] of Object.entries(Object.getOwnPropertyDescriptors(level))) {
      if (typeof value === 'function' && name !== 'constructor' && !hooks.has(name)) methods.add(name)
      if (isGenerator(value)) generators.add(name)
    }
  }
  return { methods: [...methods], generators: [...generators] }
}

/** A class whose instances are spawned as actors; made by {@link actor}. */
export class RemoteClass<C extends Constructor> {
  readonly #class: ActorClass
  readonly #options: SpawnOptions<InstanceType<C>>

  /** @internal */
  constructor(actorClass: ActorClass, options: SpawnOptions<InstanceType<C>>) {
    this.#class = actorClass
    this.#options = options
  }

  /** The text that `console.log` shows. */
  [inspect.custom](): string {
    return `RemoteClass(${this.#class.className})`
  }

  /**
   * The same class with other options for its spawns.
   *
   * @throws InvalidInputError if an option is out of range
   */
  options(options: SpawnOptions<InstanceType<C>>): RemoteClass<C> {
    const all = { ...this.#options, ...options }
    checkSpawnOptions(all)
    return new RemoteClass<C>(this.#class, all)
  }

  /**
   * Starts an actor. Unless it is detached it ends with the process that spawned it, when it is stopped, or with the
   * cluster.
   *
   * @throws InvalidInputError if an argument cannot be sent, the name is taken or the node is unknown
   * @throws ActorDiedError if its process does not start; what the constructor throws otherwise
   */
  async spawn(...args: RemoteArguments<ConstructorParameters<C>>): Promise<Handle<InstanceType<C>>> {
    if (this.#options.nodeIds) throw new InvalidInputError('nodeIds are for the members of a mesh; give nodeId')
    const [client] = await this.#start([{}], undefined, () => args)
    return handleOf(client!)
  }

  /**
   * The living actor of this class that was spawned under a name; see {@link getActor}.
   *
   * @throws InvalidInputError if there is none
   */
  async get(name: string, options: NameOptions = {}): Promise<Handle<InstanceType<C>>> {
    return getActor(name, options)
  }

  /**
   * Starts an actor at each place of a mesh, all at once, in contiguous blocks over the nodes of the cluster.
   *
   * @param dimensions names and sizes; the first dimension is the slowest
   * @param args the constructor's arguments, or a function that gives them for each place
   * @throws InvalidInputError if a dimension is no positive integer; else as {@link spawn}, having ended all members
   * @example
   * ```ts
   * const mesh = await RemoteWorker.spawnMesh({ pipeline: 2, tensor: 4 }, ({ rank, size }) => [rank, size])
   * const sums = await mesh.slice({ pipeline: 0 }).call('add', 1)
   * ```
   */
  async spawnMesh(
    dimensions: Dimensions,
    ...args:
      | RemoteArguments<ConstructorParameters<C>>
      | [(place: MemberPlace) => RemoteArguments<ConstructorParameters<C>>]
  ): Promise<Mesh<InstanceType<C>>> {
    const places = placesOf(dimensions)
    const { nodeIds } = this.#options
    if (nodeIds && nodeIds.length !== places.length) {
      throw new InvalidInputError(
        `nodeIds must name a node for each of ${places.length} members, found ${nodeIds.length}`,
      )
    }
    const [first] = args
    const argsOf = (typeof first === 'function' ? first : () => args) as (place: MemberPlace) => unknown[]
    const members = places.map((place, index) => (nodeIds ? { ...place, nodeId: nodeIds[index]! } : place))
    const clients = await this.#start(members, dimensions, (index) =>
      argsOf({ ...places[index]!, size: places.length }),
    )
    return new Mesh(
      dimensions,
      places.map((place, index) => ({ ...place, handle: handleOf<InstanceType<C>>(clients[index]!) })),
    )
  }

  async #start(
    members: MemberRequest[],
    dimensions: Dimensions | undefined,
    argsOf: (index: number) => unknown[],
  ): Promise<ActorClient[]> {
    const runtime = currentRuntime()
    const isSupervised = runtime.isSupervising
    const isKept = isSupervised || (this.#options.maxRestarts ?? 0) > 0
    const given = members.map((_, index) => argsOf(index))
    const unused = given.flat().flatMap((arg) => (arg instanceof ObjectRef ? [arg.use(), pinRef(arg)] : []))
    const sealed: ReturnType<typeof seal>[] = []
    try {
      // Arguments that a restart may need must not depend on the process that computed them.
      const resolved = (arg: unknown) => (arg instanceof ObjectRef && !isKept ? argumentOf(arg, false) : arg)
      const args = await Promise.all(given.map((list) => Promise.all(list.map(resolved))))
      if (isKept) for (const list of args) sealed.push(seal(list, 'arguments'))
      const creation = isKept ? sealed.map((one) => one.sealed) : undefined
      await runtime.spawns.pass()
      const spawned = await runtime.head.spawn(this.#request(members, dimensions, isSupervised, creation))
      const clients = spawned.map(({ record }) => runtime.client(record, true))
      for (const [index, { existed }] of spawned.entries()) {
        if (!existed) clients[index]!.pin(sealed[index]?.pins.splice(0) ?? [])
      }
      await this.#construct(spawned, clients, args)
      return clients
    } finally {
      for (const release of [...unused, ...sealed.flatMap(({ pins }) => pins)]) release()
    }
  }

  async #construct(spawned: readonly Spawned[], clients: readonly ActorClient[], args: unknown[][]): Promise<void> {
    const { head } = currentRuntime()
    const constructions = clients.map(
      (client, index) => !spawned[index]!.isConstructed && client.construct(args[index]!),
    )
    const outcomes = await Promise.allSettled(constructions)
    const failure = outcomes.find((outcome) => outcome.status === 'rejected')
    if (!failure) return
    await Promise.all(spawned.map(({ record }) => head.end(record.id, 'its constructor failed')))
    throw failure.reason
  }

  #request(
    members: MemberRequest[],
    dimensions: Dimensions | undefined,
    isSupervised: boolean,
    creation: readonly Sealed[] | undefined,
  ): SpawnRequest {
    const { name, namespace, getIfExists, detached, env, nodeFlags, cwd, logPrefix, ...limits } = this.#options
    const { isolation = 'process' } = limits
    const { maxConcurrency = 1, concurrencyGroups = {}, maxRestarts = 0, strategy = 'one-for-one' } = limits
    return {
      actorClass: { ...this.#class, module: currentRuntime().portable(this.#class.module) },
      members,
      dimensions,
      name,
      namespace,
      getIfExists,
      detached,
      place: placeRequest(limits, {}),
      isolation,
      settings: { env, nodeFlags, cwd },
      logPrefix,
      concurrency: { limit: maxConcurrency, groups: Object.values(concurrencyGroups) },
      startTimeout: limits.startTimeout ?? START_TIMEOUT,
      maxRestarts,
      isSupervised,
      strategy,
      maxTaskRetries: limits.maxTaskRetries ?? 0,
      maxPendingCalls: limits.maxPendingCalls ?? MAX_PENDING_CALLS,
      creation,
    }
  }
}

/** Options of a look-up by name. */
export interface NameOptions {
  /** The namespace to look in; by default that of this process: the one that its driver connected with. */
  readonly namespace?: string
}

/**
 * The living actor that was spawned under a name, by this process or another.
 *
 * @throws InvalidInputError if there is none
 * @example
 * ```ts
 * const hits = await getActor<Counter>('hits', { namespace: 'shop' })
 * await hits.add()
 * ```
 */
export async function getActor<T>(name: string, { namespace }: NameOptions = {}): Promise<Handle<T>> {
  const runtime = currentRuntime()
  const record = await runtime.head.lookUp(name, namespace)
  if (record) return handleOf<T>(runtime.client(record, true))
  const where = namespace === undefined ? "this process's namespace" : `the namespace ${namespace}`
  throw new InvalidInputError(`no actor named ${name} lives in ${where}; spawn one with options({ name, namespace })`)
}

/** All places of a mesh, the first dimension being the slowest. */
function placesOf(dimensions: Dimensions): { coordinates: Coordinates; rank: number }[] {
  let all: Coordinates[] = [{}]
  for (const [dimension, size] of Object.entries(dimensions)) {
    if (!Number.isInteger(size) || size < 1) {
      throw new InvalidInputError(`the mesh dimension ${dimension} must be a positive integer, found ${size}`)
    }
    all = all.flatMap((place) => Array.from({ length: size }, (_, index) => ({ ...place, [dimension]: index })))
  }
  return all.map((coordinates, rank) => ({ coordinates, rank }))
}
