import { ClusterLostError, InvalidInputError } from '../api/errors.js'
import type { ActorFailure, Decision } from '../api/hooks.js'
import { type ChannelRequests, ChannelTable } from '../channel/channel-table.js'
import type {
  ActorRecord,
  ClusterInfo,
  Coordinates,
  Dimensions,
  DriverDuties,
  HeadNotices,
  HeadRequests,
  OwnerRequests,
  WorkerDuties,
} from '../cluster/protocol.js'
import { control, type Remote, serve } from '../transport/control.js'
import { LinkLostError, type PeerIdentity } from '../transport/link.js'
import type { Peer, PeerHandler } from '../transport/peer.js'
import { seal, unseal } from '../transport/sealed.js'
import type { ProcessAddress, Receipts, Switchboard } from '../transport/switchboard.js'
import { ActorClient } from './actor-client.js'
import type { RefOwner } from './borrowed-ref.js'
import { ObjectTable } from './object-table.js'
import type { OwnerData } from './ref-codec.js'
import type { TaskClient } from './task-client.js'

/** What a worker's code can learn about the actor it is part of. */
export interface CurrentActor {
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
  /** The channels of this process that others read from. */
  readonly channels = new ChannelTable()
  actor: CurrentActor | undefined
  readonly #head: Peer
  readonly #clients = new Map<string, ActorClient>()
  readonly #tasks = new WeakMap<object, TaskClient>()
  #ending: string | undefined
  /** Whether this process was started to run actors and tasks. */
  readonly isWorker: boolean

  /**
   * @param endpoint where the head listens
   * @param onHeadLost called when the head has gone without having been left
   */
  constructor(
    readonly switchboard: Switchboard,
    endpoint: string,
    head: PeerIdentity,
    options: {
      timeout?: number
      onHeadLost?: (error: ClusterLostError) => void
      onLog?: HeadNotices['log']
      duties?: WorkerDuties
    } = {},
  ) {
    this.isWorker = options.duties !== undefined
    const notices: HeadNotices = {
      actorChanged: (actorId, state) => this.#clients.get(actorId)?.changed(state),
      log: (name, line) => options.onLog?.(name, line),
    }
    const owning: DriverDuties = {
      holdFor: (id, holder) => this.objects.hold(id, holder),
      releaseFor: (id, holder) => this.objects.release(id, holder),
      fetchSealed: async (id) => seal(await this.objects.fetch(id), 'the value of a ref'),
      holderGone: (holder) => this.objects.holderGone(holder),
      supervise: async (failure) => this.supervisor?.(failure),
    }
    const served = { ...notices, ...owning, ...this.channels.served, ...options.duties }
    const handler: PeerHandler = {
      call: (call) => void serve(served, call),
      mayBeAsked: () => this.objects.size > 0 || this.supervisor !== undefined,
      lost: (error) => {
        const lost = this.#explainHead(error)
        for (const client of [...this.#clients.values()]) client.died({ reason: lost.message })
        if (this.#ending === undefined) options.onHeadLost?.(lost)
      },
    }
    this.#head = switchboard.open(endpoint, head, handler, options.timeout)
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

  /** Asks the owner of a ref that this process holds. */
  ownerOf(owner: OwnerData): RefOwner {
    if ('worker' in owner) return control<OwnerRequests>(this.reach(owner.worker))
    return {
      hold: async (id) => void (await this.head.askDriver(owner.driver, 'hold', id)),
      release: async (id) => void (await this.head.askDriver(owner.driver, 'release', id)),
      fetch: async (id) => unseal((await this.head.askDriver(owner.driver, 'fetch', id))!),
    }
  }

  /** What this process serves to one that connected to it and holds refs of its. */
  servedTo(holder: string): OwnerRequests {
    return {
      hold: (id) => this.objects.hold(id, holder),
      release: (id) => this.objects.release(id, holder),
      fetch: (id) => this.objects.fetch(id),
    }
  }

  /** The connection to the process that owns something: one that this process opens, or one that a driver has opened. */
  peerOf(owner: OwnerData): Peer | undefined {
    return 'worker' in owner ? this.reach(owner.worker) : this.switchboard.accepted(owner.driver)
  }

  /** What stands for this process in what it sends to others. */
  get asOwner(): OwnerData {
    return this.address ? { worker: this.address } : { driver: this.self.processId }
  }

  /** The connection to a process. */
  reach(address: ProcessAddress): Peer {
    const served: Receipts & ChannelRequests = { receipt() {}, ...this.channels.served }
    return this.switchboard.reach(address, { call: (call) => void serve(served, call) })
  }

  /** Closes all connections; pending calls fail with the reason. */
  close(reason: string): void {
    this.#ending = reason
    for (const client of [...this.#clients.values()]) client.died({ reason })
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

export function runtimeOrNone(): Runtime | undefined {
  return current
}

/** @throws InvalidInputError if this process has not joined a cluster */
export function currentRuntime(): Runtime {
  if (!current) throw new InvalidInputError('this process is in no cluster; call connect() first')
  return current
}

/** The actor that this process runs; undefined in a driver. */
export function currentActor(): CurrentActor | undefined {
  return current?.actor
}
