import { ClusterLostError, InvalidInputError } from '../api/errors.js'
import type {
  ActorRecord,
  ClusterInfo,
  Coordinates,
  Dimensions,
  HeadNotices,
  HeadRequests,
  WorkerDuties,
} from '../cluster/protocol.js'
import { control, type Remote, serve } from '../transport/control.js'
import { LinkLostError, type PeerIdentity } from '../transport/link.js'
import type { Peer, PeerHandler } from '../transport/peer.js'
import type { ProcessAddress, Receipts, Switchboard } from '../transport/switchboard.js'
import { ActorClient } from './actor-client.js'

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
  actor: CurrentActor | undefined
  readonly #head: Peer
  readonly #clients = new Map<string, ActorClient>()
  #ending: string | undefined

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
    const notices: HeadNotices = {
      actorChanged: (actorId, state) => this.#clients.get(actorId)?.changed(state),
      log: (name, line) => options.onLog?.(name, line),
    }
    const served = { ...notices, ...options.duties }
    const handler: PeerHandler = {
      call: (call) => void serve(served, call),
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

  /** Drops a dead actor; handles that are still held know that it is dead. */
  forget(actorId: string): void {
    this.#clients.delete(actorId)
  }

  /** The connection to a process. */
  reach(address: ProcessAddress): Peer {
    const receipts: Receipts = { receipt() {} }
    return this.switchboard.reach(address, { call: (call) => void serve(receipts, call) })
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
