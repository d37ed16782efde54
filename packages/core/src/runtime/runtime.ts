import { setTimeout as delay, setImmediate as nextTurn } from 'node:timers/promises'
import { ClusterLostError } from '../common/errors.js'
import type { ActorFailure, Decision } from '../common/hooks.js'
import type { ActorRecord, Coordinates, Dimensions } from '../protocol/actor.js'
import type { Location, Outcome } from '../protocol/location.js'
import type {
  CallerService,
  ClusterInfo,
  ClusterService,
  DriverService,
  DriverSession,
  HeadEvents,
  JoinService,
  LocalActorService,
  OwnerService,
  WorkerService,
  WorkerSession,
} from '../protocol/services.js'
import { encode } from '../transport/codec.js'
import type { ConnectionManager, ProcessAddress } from '../transport/connection-manager.js'
import { control, type Remote, serve } from '../transport/control.js'
import type { PeerHandler } from '../transport/handlers.js'
import { LinkLostError, type PeerIdentity } from '../transport/link.js'
import type { Peer } from '../transport/peer.js'
import { unseal } from '../transport/sealed.js'
import { ActorClient } from './actor-client.js'
import type { RefOwner } from './borrowed-ref.js'
import { leave } from './current.js'
import { startLocalActor } from './local-actors.js'
import { LogSender } from './log-sender.js'
import { ObjectTable } from './object-table.js'
import { OwnerServices } from './owner-services.js'
import type { OwnerData } from './ref-codec.js'
import { copyOf } from './remote-result-ref.js'
import { RemoteResultTable } from './remote-result-table.js'
import type { TaskClient } from './task-client.js'
import { TurnGate } from './turn-gate.js'
import type { WorkingDirectory } from './working-directory.js'

/** Time that the code of a process has to learn of an actor's death: two seconds, in turns of its event loop. */
const NOTICE = { turns: 20, milliseconds: 100 }

/** Noticed deaths that are remembered. */
const MOST_NOTICED = 1000

/** Spawns that are sent in one turn of the event loop: some 10 ms of work. */
const SPAWNS_A_TURN = 100

/** Identity of an actor, as its own code can learn it. */
export interface ActorIdentity {
  readonly id: string
  readonly name: string
  readonly pid: number
  readonly nodeId: string
  /** The address other hosts reach this node at. */
  readonly host: string
  /** The actor's place in its mesh, and the mesh's dimensions. */
  readonly coordinates?: Coordinates
  readonly dimensions?: Dimensions
  /** The actor's number in its mesh, the first dimension being the slowest. */
  readonly rank?: number
}

/** Requests that a process serves beside those about its refs, as a driver or a worker. */
export interface RuntimeService {
  readonly served: object
  /** The process leaves its cluster. */
  end(reason: string): void
}

/** The role of this process in its cluster. */
export type Role =
  | {
      readonly kind: 'driver'
      readonly onLog: HeadEvents['log']
      /** Nobody has handled the failure of an actor that belongs to this driver. */
      readonly onUnhandled: (failure: ActorFailure) => void
      /** Decides about the actors that it spawned. */
      readonly supervise?: ((failure: ActorFailure) => Decision | undefined | Promise<Decision | undefined>) | undefined
    }
  | {
      readonly kind: 'worker'
      readonly service: WorkerService
      readonly cluster: ClusterInfo
      /** The address at which other hosts reach this process, if they can. */
      readonly network: { readonly host: string; readonly listens: boolean }
      /** The actor that it has become, with what its handles travel as. */
      readonly actor: () => { readonly identity: ActorIdentity; readonly record: ActorRecord } | undefined
      /** Whether somebody decides about the actors that it spawns. */
      readonly isSupervising: () => boolean
      /** Others have let go of all that they held of this process. */
      readonly onHoldsNothing: () => void
      /** The head has gone without having been left. */
      readonly onHeadLost: () => void
    }

/** The head's endpoint and identity, by which a runtime finds it. */
export interface HeadPlace {
  readonly endpoint: string
  readonly identity: PeerIdentity
  /** Milliseconds that it has to answer the connection. */
  readonly timeout?: number | undefined
}

/** A process's membership of a cluster: its connections, and the actors it has handles of. */
export class Runtime {
  /** Requests that every process may make of the head. */
  readonly head: Remote<ClusterService>
  readonly #session: Remote<JoinService & DriverSession & WorkerSession>
  /** The refs of this process that others hold. */
  readonly objects: ObjectTable
  readonly spawns = new TurnGate(SPAWNS_A_TURN)
  /** The results of its calls that others hold. */
  readonly results = new RemoteResultTable(this)
  readonly #owner: OwnerServices
  /** The requests that it serves to the processes that it connects to. */
  readonly #forPeers: object
  readonly #head: Peer
  #cluster: ClusterInfo | undefined
  #address: ProcessAddress | undefined
  #directory: WorkingDirectory | undefined
  readonly #clients = new Map<string, ActorClient>()
  readonly #tasks = new WeakMap<object, TaskClient>()
  /** The clients of functions whose tasks have not all got an outcome. */
  readonly busyTasks = new Set<TaskClient>()
  /** Actors whose deaths were noticed here. */
  readonly #noticed = new Set<string>()
  /** Failures of calls that nobody waits for, on their way to the logs of their actors. */
  readonly #failures = new LogSender((text, actor) => this.head.broadcastFailed(JSON.parse(actor), text))
  #ending: string | undefined

  constructor(
    readonly connections: ConnectionManager,
    private readonly place: HeadPlace,
    private readonly role: Role,
    private readonly services: readonly RuntimeService[],
  ) {
    const isWorker = role.kind === 'worker'
    this.#cluster = isWorker ? role.cluster : undefined
    this.objects = new ObjectTable(isWorker ? role.onHoldsNothing : () => {})
    this.#owner = new OwnerServices(this)
    const others = Object.assign({}, ...services.map(({ served }) => served))
    const calling: CallerService = { receipt() {}, bring: (results) => this.results.bring(results) }
    this.#forPeers = { ...calling, ...others }
    const events: HeadEvents = {
      actorChanged: (actorId, state) => this.#clients.get(actorId)?.changed(state),
      noticesDeath: (actorId) => this.#noticesDeath(actorId),
      log: (line) => isWorker || role.onLog(line),
    }
    const driving: DriverService = {
      ...this.#owner.forHead,
      supervise: async (failure) => (isWorker ? undefined : role.supervise?.(failure)),
      unhandled: (failure) => {
        if (!isWorker && this.#ending === undefined && !this.#noticed.has(failure.id)) role.onUnhandled(failure)
      },
    }
    const hosting: LocalActorService = { startLocal: (processId) => startLocalActor(processId, this) }
    const served = { ...events, ...driving, ...hosting, ...others, ...(isWorker ? role.service : {}) }
    const handler: PeerHandler = {
      call: (call) => void serve(served, call),
      // The lines of its actors come at any time, and what becomes of them.
      mayBeAsked: () => true,
      lost: (error) => {
        const lost = this.#explainHead(error)
        for (const client of [...this.#clients.values()]) client.died({ reason: lost.message })
        if (isWorker && this.#ending === undefined) role.onHeadLost()
      },
    }
    this.#head = connections.open(place.endpoint, place.identity, handler, { timeout: place.timeout })
    const head = this.#explained(control<ClusterService & JoinService & DriverSession & WorkerSession>(this.#head))
    this.head = head
    this.#session = head
  }

  /** Comes into the cluster as a driver. */
  async joinAsDriver(namespace: string | undefined): Promise<ClusterInfo> {
    this.#cluster = await this.#session.joinDriver({ namespace })
    return this.#cluster
  }

  /** Comes into the cluster as a worker that is ready for work. */
  async joinAsWorker(address: ProcessAddress): Promise<void> {
    this.#address = address
    await this.#session.joinWorker({ pid: process.pid, tcp: address.tcp })
  }

  /** From now on modules in the working directory are known to others by their paths in it. */
  enterDirectory(directory: WorkingDirectory): void {
    this.#directory = directory
  }

  /** Requests that this process makes of the head as a driver. */
  get driverSession(): Remote<DriverSession> {
    return this.#session
  }

  /** Requests that this process makes of the head as a worker. */
  get workerSession(): Remote<WorkerSession> {
    return this.#session
  }

  /** The cluster, once this process has joined it. */
  get cluster(): ClusterInfo {
    return this.#cluster!
  }

  /** The address at which others reach this process; undefined for drivers. */
  get address(): ProcessAddress | undefined {
    return this.#address
  }

  /** The working directory of the driver, where this process has it. */
  get directory(): WorkingDirectory | undefined {
    return this.#directory
  }

  /** The actor that this process has become, if it has. */
  get actor(): { readonly identity: ActorIdentity; readonly record: ActorRecord } | undefined {
    return this.role.kind === 'worker' ? this.role.actor() : undefined
  }

  /** The host by which others reach this process, and whether it listens to them; undefined for drivers. */
  get network(): { readonly host: string; readonly listens: boolean } | undefined {
    return this.role.kind === 'worker' ? this.role.network : undefined
  }

  get headEndpoint(): string {
    return this.place.endpoint
  }

  /** Whether this process was started to run actors and tasks. */
  get isWorker(): boolean {
    return this.role.kind === 'worker'
  }

  /** Whether somebody decides about the actors that this process spawns. */
  get isSupervising(): boolean {
    return this.role.kind === 'worker' ? this.role.isSupervising() : this.role.supervise !== undefined
  }

  /** One of the services that this process was given. */
  service<S extends RuntimeService>(of: new () => S): S {
    return this.services.find((service): service is S => service instanceof of)!
  }

  get self(): PeerIdentity {
    return this.connections.self
  }

  /**
   * This process's side of an actor.
   *
   * @param isFresh whether the record has just come from the head
   */
  client(record: ActorRecord, isFresh = false): ActorClient {
    let client = this.#clients.get(record.id)
    if (client) client.learn(record)
    else {
      client = new ActorClient(this, record, isFresh)
      this.#clients.set(record.id, client)
    }
    return client
  }

  /** This process's side of the tasks of a function with some options. */
  tasks(identity: object, create: (runtime: Runtime) => TaskClient): TaskClient {
    let client = this.#tasks.get(identity)
    if (!client) {
      client = create(this)
      this.#tasks.set(identity, client)
    }
    return client
  }

  /** Drops a dead actor; handles that are still held know that it is dead. */
  forget(actorId: string): void {
    this.#clients.delete(actorId)
  }

  /** A call that is awaited here failed because an actor died. */
  noticed(actorId: string): void {
    if (this.#noticed.has(actorId)) return
    this.#noticed.add(actorId)
    if (this.#noticed.size > MOST_NOTICED) this.#noticed.delete(this.#noticed.values().next().value!)
    void this.head.noticed(actorId).catch(() => {})
  }

  /** Has the log of an actor tell that a call which nobody waits for has failed. */
  broadcastFailed({ id, name }: Pick<ActorRecord, 'id' | 'name'>, label: string, error: unknown): void {
    if (this.#ending !== undefined) return
    const lines = (error instanceof Error ? (error.stack ?? String(error)) : String(error)).split('\n')
    // All of its frames for each member would bury what is in the log.
    const frame = lines.findIndex((line) => /^\s+at /.test(line))
    const text = lines.slice(0, frame + 1 || undefined).join('\n')
    this.#failures.send(`${label} was broadcast, and failed: ${text}`, JSON.stringify({ id, name }))
  }

  /** Asks the owner of a ref that this process holds. */
  ownerOf(owner: OwnerData): RefOwner {
    if ('worker' in owner) {
      if (owner.worker.processId !== this.self.processId) return control<OwnerService>(this.reach(owner.worker))
      const own = this.servedTo(owner.worker.processId)
      return { hold: async (id) => own.hold(id), release: async (id) => own.release(id), fetch: own.fetch }
    }
    return {
      hold: async (id) => void (await this.head.askDriver(owner.driver, 'hold', id)),
      release: async (id) => void (await this.head.askDriver(owner.driver, 'release', id)),
      fetch: async (id, lost) => {
        const { sealed, pin } = await this.head.fetchFromDriver(owner.driver, id, lost)
        const kept: Promise<unknown>[] = []
        const outcome = unseal(sealed, (until) => kept.push(until)) as Outcome
        const opened = () => this.head.openedFromDriver(owner.driver, pin!).catch(() => {})
        if (pin !== undefined) void Promise.allSettled(kept).then(opened)
        return outcome
      },
    }
  }

  /** Fetches a value from the process that holds it. */
  async fetchAt({ id, holder }: Location): Promise<unknown> {
    if (holder.processId !== this.self.processId) {
      const outcome = await control<OwnerService>(this.reach(holder)).fetch(id)
      return 'value' in outcome ? outcome.value : undefined
    }
    const outcome = await this.objects.fetch(id)
    return 'value' in outcome ? copyOf(encode(outcome.value, 'the value of a ref', false)) : undefined
  }

  /**
   * Whether code of this process learns of an actor's death soon. The time is counted in turns of the event loop, so that it
   * passes only while that code can run.
   */
  async #noticesDeath(actorId: string): Promise<boolean> {
    for (let turns = 0; turns < NOTICE.turns && !this.#noticed.has(actorId); turns++) {
      await delay(NOTICE.milliseconds, undefined, { ref: false })
      // Messages that have come in meanwhile go first.
      await nextTurn()
    }
    return this.#noticed.has(actorId)
  }

  /** The requests that a process which connected to this one, and holds refs of its, may make. */
  servedTo(holder: string): OwnerService {
    return this.#owner.servedTo(holder)
  }

  /** The URL of a module for other processes, which may have the working directory elsewhere. */
  portable(url: string): string {
    return this.#directory ? this.#directory.toPortable(url) : url
  }

  /** The connection to the process that owns something: one that this process opens, or one that a driver has opened. */
  peerOf(owner: OwnerData): Peer | undefined {
    return 'worker' in owner ? this.reach(owner.worker) : this.connections.acceptedFrom(owner.driver)
  }

  /** The owner data of this process, in what it sends to others. */
  get asOwner(): OwnerData {
    return this.#address ? { worker: this.#address } : { driver: this.self.processId }
  }

  /** The connection to a process. */
  reach(address: ProcessAddress): Peer {
    const handler: PeerHandler = {
      call: (call) => void serve(this.#forPeers, call),
      mayBeAsked: () => this.results.size > 0,
    }
    return this.connections.reach(address, handler)
  }

  /** Closes all connections; pending calls fail with the reason. */
  close(reason: string): void {
    this.#ending = reason
    for (const client of [...this.#clients.values()]) client.died({ reason })
    for (const service of this.services) service.end(reason)
    this.connections.close()
    leave(this)
  }

  /** Requests to the head fail with what the loss of it means. */
  #explained<T extends object>(head: T): T {
    type Requests = Record<string, (...args: unknown[]) => Promise<unknown>>
    return new Proxy(head, {
      get:
        (target, method: string) =>
        async (...args: unknown[]) => {
          try {
            return await (target as unknown as Requests)[method]!(...args)
          } catch (error) {
            throw error instanceof LinkLostError ? this.#explainHead(error) : error
          }
        },
    })
  }

  #explainHead(lost: LinkLostError): ClusterLostError {
    return new ClusterLostError(this.#ending ?? `the head of the cluster has gone: ${lost.message}`, { cause: lost })
  }
}
