import { whileRunning } from '../common/run-clock.js'
import { LATE } from '../common/timer.js'
import type { Inventory, ObjectInfo, ProcessInfo, TaskInfo } from '../protocol/listing.js'
import type { InventoryService } from '../protocol/services.js'
import { control } from '../transport/control.js'
import type { Peer } from '../transport/peer.js'
import type { LeaseTable } from './lease-table.js'
import type { WorkerPool } from './worker-pool.js'

/** Milliseconds of running that a worker has to answer, and the most that any process is waited for. */
const PATIENCE = { running: 1000, most: 5000 }

interface Answer {
  readonly processId: string
  readonly process: ProcessInfo
  readonly inventory: Inventory
}

/**
 * Asks the processes of the cluster what they own, and to give up what they use no more. Leaves out a process that does not
 * answer, being busy.
 */
export class ClusterState {
  readonly #drivers: ReadonlyMap<string, Peer>
  readonly #workers: WorkerPool
  readonly #leases: LeaseTable

  constructor(drivers: ReadonlyMap<string, Peer>, workers: WorkerPool, leases: LeaseTable) {
    this.#drivers = drivers
    this.#workers = workers
    this.#leases = leases
  }

  async objects(): Promise<ObjectInfo[]> {
    const answers = await this.#ask()
    const known = new Map(answers.map(({ processId, process }) => [processId, process]))
    return answers.flatMap(({ process, inventory }) =>
      inventory.objects.map(({ holders, ...object }) => ({
        ...object,
        owner: process,
        holders: holders.map(([id, refs]) => ({ ...(known.get(id) ?? this.#processOf(id)), refs })),
      })),
    )
  }

  /** The tasks of all processes; of a process that does not answer, those that it has workers for. */
  async tasks(): Promise<TaskInfo[]> {
    const answers = await this.#ask()
    const told = answers.flatMap(({ process: owner, inventory }) =>
      inventory.tasks.map(({ lease, ...task }) => {
        const worker = lease === undefined ? undefined : this.#leases.workerOf(lease)
        return { ...task, pid: worker?.pid ?? 0, nodeId: worker?.node.id ?? '', owner }
      }),
    )
    const answered = new Set(answers.map(({ processId }) => processId))
    const untold = this.#leases.list().filter(({ owner }) => !answered.has(owner))
    return [
      ...told,
      ...untold.map(({ owner, ...task }) => ({ ...task, state: 'running' as const, owner: this.#processOf(owner) })),
    ]
  }

  /** Has processes of a node collect garbage: its drivers, and the workers with these process ids. */
  async collect(nodeId: string, pids: readonly number[]): Promise<void> {
    const isAsked = (id: string) => pids.includes(this.#workers.of(id)?.pid ?? 0)
    const peers = [...this.#drivers, ...this.#workers.peers().filter(([id]) => isAsked(id))]
    const own = peers.filter(([, { identity }]) => identity.nodeId === nodeId)
    await Promise.all(own.map(([id, peer]) => this.#patiently(id, control<InventoryService>(peer).collect())))
  }

  async #ask(): Promise<Answer[]> {
    const peers = [...this.#drivers, ...this.#workers.peers()]
    const answers = await Promise.all(peers.map(([processId, peer]) => this.#askOne(processId, peer)))
    return answers.filter((answer) => answer !== undefined)
  }

  async #askOne(processId: string, peer: Peer): Promise<Answer | undefined> {
    const inventory = await this.#patiently(processId, control<InventoryService>(peer).inventory())
    return inventory && { processId, process: { ...this.#processOf(processId), pid: inventory.pid }, inventory }
  }

  /** The answer of a process, unless it fails or takes too long. */
  async #patiently<T>(processId: string, answer: Promise<T>): Promise<T | undefined> {
    const { running, most } = PATIENCE
    const worker = this.#workers.of(processId)
    const answered = answer.catch(() => undefined)
    // How busy a driver is nobody knows.
    const outcome = await (worker
      ? worker.within(answered, running, most)
      : whileRunning(answered, most, () => undefined))
    return outcome === LATE ? undefined : outcome
  }

  #processOf(processId: string): ProcessInfo {
    const worker = this.#workers.of(processId)
    if (worker) return { name: worker.holder?.name ?? '', pid: worker.pid, nodeId: worker.node.id }
    const driver = this.#drivers.get(processId)
    return { name: driver ? 'driver' : 'gone', pid: 0, nodeId: driver?.identity.nodeId ?? '' }
  }
}
