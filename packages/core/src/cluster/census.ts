import { control } from '../transport/control.js'
import type { Peer } from '../transport/peer.js'
import type { LeaseTable } from './lease-table.js'
import type { Inventory, ObjectInfo, OwnerDuties, ProcessInfo, TaskInfo } from './protocol.js'
import type { WorkerPool } from './worker-pool.js'

/** Milliseconds that a process has to tell what it owns. */
const PATIENCE = 1000

interface Answer {
  readonly processId: string
  readonly process: ProcessInfo
  readonly inventory: Inventory
}

/** Asks the processes of the cluster what they own. One that does not answer, being busy, is left out. */
export class Census {
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

  /** Of a process that does not answer, the tasks are known that it has workers for. */
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

  async #ask(): Promise<Answer[]> {
    const peers = [...this.#drivers, ...this.#workers.peers()]
    const answers = await Promise.all(peers.map(([processId, peer]) => this.#askOne(processId, peer)))
    return answers.filter((answer) => answer !== undefined)
  }

  async #askOne(processId: string, peer: Peer): Promise<Answer | undefined> {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<undefined>((resolve) => {
      timer = setTimeout(() => resolve(undefined), PATIENCE)
    })
    const asked = control<OwnerDuties>(peer)
      .inventory()
      .catch(() => undefined)
    const inventory = await Promise.race([asked, late])
    clearTimeout(timer)
    return inventory && { processId, process: { ...this.#processOf(processId), pid: inventory.pid }, inventory }
  }

  #processOf(processId: string): ProcessInfo {
    const worker = this.#workers.of(processId)
    if (worker) return { name: worker.holder?.name ?? '', pid: worker.pid, nodeId: worker.node.id }
    const driver = this.#drivers.get(processId)
    return { name: driver ? 'driver' : 'gone', pid: 0, nodeId: driver?.identity.nodeId ?? '' }
  }
}
