import { AsyncLocalStorage } from 'node:async_hooks'
import { ClusterLostError, InvalidInputError } from '../api/errors.js'
import type { Handle } from '../api/handle.js'
import type { ActorFailure, Decision } from '../api/hooks.js'
import type { Outcome } from '../api/ref.js'
import { type ChannelRequests, ChannelTable } from '../channel/channel-table.js'
import { LogSender } from '../cluster/log-sender.js'
import type {
  ActorRecord,
  CallerDuties,
  ClusterInfo,
  Coordinates,
  Dimensions,
  DriverDuties,
  HeadNotices,
  HeadRequests,
  LocalDuties,
  OwnerRequests,
  SealedOutcome,
  WorkerDuties,
} from '../cluster/protocol.js'
import { encode } from '../transport/codec.js'
import { control, type Remote, serve } from '../transport/control.js'
import { LinkLostError, type PeerIdentity } from '../transport/link.js'
import type { Peer, PeerHandler } from '../transport/peer.js'
import { seal, unseal } from '../transport/sealed.js'
import type { ProcessAddress, Switchboard } from '../transport/switchboard.js'
import { ActorClient } from './actor-client.js'
import type { RefOwner } from './borrowed-ref.js'
import type { Location } from './elsewhere.js'
import { copyOf } from './held-result.js'
import { HeldResults } from './held-results.js'
import { takeInventory } from './inventory.js'
import { ObjectTable } from './object-table.js'
import { collectNow } from './reclaim.js'
import type { OwnerData } from './ref-codec.js'
import type { TaskClient } from './task-client.js'
import { TurnGate } from './turn-gate.js'
import type { WorkingDirectory } from './working-directory.js'

/** What a worker's code can learn about the actor it is part of. */
export interface CurrentActor<T = unknown> {
  /** The actor's own handle, for others to call it by; it does not show in what prints or sends this object. */
  readonly handle: Handle<T>
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

/** How long the code of a process has to learn of an actor's death: two seconds, in turns of its event loop. */
const NOTICE = { turns: 20, milliseconds: 100 }

/** Noticed deaths that are remembered. */
const MOST_NOTICED = 1000

/** Spawns that are sent in one turn of the event loop: some 10 ms of work. */
const SPAWNS_A_TURN = 100

/** A process's membership of a cluster: its connections, and the actors it has handles of. */
export class Runtime {
  readonly head: Remote<HeadRequests>
  cluster!: ClusterInfo
  /** Where others reach this process; undefined for drivers. */
  address: ProcessAddress | undefined
  /** Decides about the actors that this process spawned. */
  supervisor: ((failure: ActorFailure) => Decision | undefined | Promise<Decision | undefined>) | undefined
  /** Whether somebody decides about the actors that this process spawns. */
  isSupervising: () => boolean = () => this.supervisor !== undefined
  /** The refs of this process that others hold. */
  readonly objects = new ObjectTable()
  readonly spawns = new TurnGate(SPAWNS_A_TURN)
  /** The results of its calls that others hold. */
  readonly results = new HeldResults(this)
  /** What was sealed for others and not opened yet, with whom it is for. */
  readonly #sealed = new Map<number, { readonly holder: string; readonly pins: (() => void)[] }>()
  #seals = 0
  /** The channels of this process that others read from. */
  readonly channels = new ChannelTable()
  actor: CurrentActor | undefined
  /** Where other hosts reach this process, if they can; undefined for drivers. */
  network: { readonly host: string; readonly listens: boolean } | undefined
  /** The working directory of the driver, where this process has it. */
  directory: WorkingDirectory | undefined
  readonly #head: Peer
  readonly #clients = new Map<string, ActorClient>()
  readonly #tasks = new WeakMap<object, TaskClient>()
  /** Those whose tasks have not all got an outcome. */
  readonly busyTasks = new Set<TaskClient>()
  /** Actors whose deaths were noticed here. */
  readonly #noticed = new Set<string>()
  /** Failures of calls that nobody waits for, on their way to the logs of their actors. */
  readonly #failures = new LogSender((text, actor) => this.head.broadcastFailed(JSON.parse(actor), text))
  #ending: string | undefined
  /** Whether this process was started to run actors and tasks. */
  readonly isWorker: boolean

  /**
   * @param headEndpoint where the head listens
   * @param onHeadLost called when the head has gone without having been left
   */
  constructor(
    readonly switchboard: Switchboard,
    readonly headEndpoint: string,
    head: PeerIdentity,
    options: {
      timeout?: number
      onHeadLost?: (error: ClusterLostError) => void
      onLog?: HeadNotices['log']
      onUnhandled?: (failure: ActorFailure) => void
      duties?: WorkerDuties
    } = {},
  ) {
    this.isWorker = options.duties !== undefined
    const notices: HeadNotices = {
      actorChanged: (actorId, state) => this.#clients.get(actorId)?.changed(state),
      noticesDeath: (actorId) => this.#noticesDeath(actorId),
      log: (line) => options.onLog?.(line),
    }
    const owning: DriverDuties = {
      holdFor: (id, holder) => this.objects.hold(id, holder),
      releaseFor: (id, holder) => this.objects.release(id, holder),
      fetchSealed: (id, holder, lost) => this.#seal(id, holder, lost),
      opened: (pin) => this.#unpin(pin),
      holderGone: (holder) => {
        this.objects.holderGone(holder)
        for (const [pin, sealed] of this.#sealed) if (sealed.holder === holder) this.#unpin(pin)
      },
      supervise: async (failure) => this.supervisor?.(failure),
      unhandled: (failure) => {
        if (this.#ending === undefined && !this.#noticed.has(failure.id)) options.onUnhandled?.(failure)
      },
      inventory: () => takeInventory(this),
      collect: collectNow,
    }
    const hosting: LocalDuties = {
      startLocal: async (processId) => {
        const { startLocal } = await import('../worker/local.js')
        await startLocal(processId, this)
      },
    }
    const served = { ...notices, ...owning, ...hosting, ...this.channels.served, ...options.duties }
    const handler: PeerHandler = {
      call: (call) => void serve(served, call),
      // The lines of its actors come at any time, and what becomes of them.
      mayBeAsked: () => true,
      lost: (error) => {
        const lost = this.#explainHead(error)
        for (const client of [...this.#clients.values()]) client.died({ reason: lost.message })
        if (this.#ending === undefined) options.onHeadLost?.(lost)
      },
    }
    this.#head = switchboard.open(headEndpoint, head, handler, { timeout: options.timeout })
    this.head = this.#explained(control<HeadRequests>(this.#head))
  }

  get self(): PeerIdentity {
    return this.switchboard.self
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
      if (owner.worker.processId !== this.self.processId) return control<OwnerRequests>(this.reach(owner.worker))
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
      const outcome = await control<OwnerRequests>(this.reach(holder)).fetch(id)
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
      await new Promise((resolve) => setTimeout(resolve, NOTICE.milliseconds).unref())
      // What has come in meanwhile goes first.
      await new Promise((resolve) => setImmediate(resolve))
    }
    return this.#noticed.has(actorId)
  }

  /** What this process serves to one that connected to it and holds refs of its. */
  servedTo(holder: string): OwnerRequests {
    return {
      hold: (id) => this.objects.hold(id, holder),
      release: (id) => this.objects.release(id, holder),
      fetch: (id, lost) => this.objects.fetch(id, lost),
    }
  }

  /** The URL of a module for other processes, which may have the working directory elsewhere. */
  portable(url: string): string {
    return this.directory ? this.directory.toPortable(url) : url
  }

  /** The connection to the process that owns something: one that this process opens, or one that a driver has opened. */
  peerOf(owner: OwnerData): Peer | undefined {
    return 'worker' in owner ? this.reach(owner.worker) : this.switchboard.acceptedFrom(owner.driver)
  }

  /** What stands for this process in what it sends to others. */
  get asOwner(): OwnerData {
    return this.address ? { worker: this.address } : { driver: this.self.processId }
  }

  /** The connection to a process. */
  reach(address: ProcessAddress): Peer {
    const own: CallerDuties = { receipt() {}, bring: (results) => this.results.bring(results) }
    const duties: CallerDuties & ChannelRequests = { ...own, ...this.channels.served }
    const handler: PeerHandler = {
      call: (call) => void serve(duties, call),
      mayBeAsked: () => this.results.size > 0,
    }
    return this.switchboard.reach(address, handler)
  }

  async #seal(id: string, { processId, nodeId }: PeerIdentity, lost?: string): Promise<SealedOutcome> {
    const { sealed, pins } = seal(await this.objects.fetch(id, lost), 'the value of a ref', nodeId === this.self.nodeId)
    if (pins.length === 0) return { sealed, pin: undefined }
    const pin = ++this.#seals
    this.#sealed.set(pin, { holder: processId, pins })
    return { sealed, pin }
  }

  #unpin(pin: number): void {
    const sealed = this.#sealed.get(pin)
    this.#sealed.delete(pin)
    for (const release of sealed?.pins ?? []) release()
  }

  /** Closes all connections; pending calls fail with the reason. */
  close(reason: string): void {
    this.#ending = reason
    for (const client of [...this.#clients.values()]) client.died({ reason })
    this.channels.end(reason)
    this.switchboard.close()
    if (current === this) current = undefined
  }

  /** Requests to the head fail with what the loss of it means. */
  #explained(head: Remote<HeadRequests>): Remote<HeadRequests> {
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

let current: Runtime | undefined

/** Makes a runtime the one that this process's spawns and handles go through. */
export function enter(runtime: Runtime): void {
  current = runtime
  for (const act of entering.values()) act(runtime)
}

const entering = new Map<string, (runtime: Runtime) => void>()

/** Does something in every cluster that this process joins, and in the one it is in. */
export function onEnter(key: string, act: (runtime: Runtime) => void): void {
  if (entering.has(key)) return
  entering.set(key, act)
  if (current) act(current)
}

/** The runtimes of local actors: what their code does goes through theirs, not through that of the process. */
const scopes = new AsyncLocalStorage<{ runtime: Runtime | undefined }>()

/** Runs a function, all that it starts, and all that becomes of that, in the runtime that it enters. */
export function inRuntime<T>(run: (enter: (runtime: Runtime) => void) => T): T {
  const scope: { runtime: Runtime | undefined } = { runtime: undefined }
  const enter = (runtime: Runtime) => {
    scope.runtime = runtime
  }
  return scopes.run(scope, () => run(enter))
}

export function runtimeOrNone(): Runtime | undefined {
  const scope = scopes.getStore()
  return scope ? scope.runtime : current
}

/** @throws InvalidInputError if this process has not joined a cluster */
export function currentRuntime(): Runtime {
  const runtime = runtimeOrNone()
  if (!runtime) throw new InvalidInputError('this process is in no cluster; call connect() first')
  return runtime
}

/**
 * The actor that this code is part of; undefined in a driver.
 *
 * @example
 * ```ts
 * export class Listener {
 *   async subscribe(news: Handle<News>) { await news.add(currentActor<Listener>()!.handle) }
 *   hear(text: string) { console.log(text) }
 * }
 * ```
 */
export function currentActor<T = unknown>(): CurrentActor<T> | undefined {
  return runtimeOrNone()?.actor as CurrentActor<T> | undefined
}
