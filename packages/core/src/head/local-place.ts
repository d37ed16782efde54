import { InvalidInputError } from '../common/errors.js'
import { within } from '../common/timer.js'
import type { WorkerSpec } from '../protocol/actor.js'
import type { LocalActorService } from '../protocol/services.js'
import { control } from '../transport/control.js'
import type { Peer } from '../transport/peer.js'
import type { WorkerPlace, WorkerPool, WorkerProcess } from './worker-pool.js'

/** Milliseconds that a local worker has to leave, and that its end waits for the reason why its whole process ended. */
const GRACE = 500

/** A process, as the place of the workers that are to be in its own thread. */
export class LocalPlace implements WorkerPlace {
  readonly agent: WorkerPlace['agent']
  readonly cpus = 0
  readonly #peer: Peer
  readonly #workers: WorkerPool

  constructor(peer: Peer, workers: WorkerPool) {
    this.#peer = peer
    this.#workers = workers
    this.agent = {
      startWorker: ({ processId }: WorkerSpec) => control<LocalActorService>(peer).startLocal(processId),
      endWorker: (processId: string) => this.#end(processId),
      // Its process is that of its owner; of a driver nobody knows.
      hadToRun: async () => {
        const owner = workers.of(peer.identity.processId)
        return owner?.node.agent.hadToRun(owner.processId)
      },
      stackOf: async () => {
        throw new InvalidInputError('it runs in the thread of its caller; read the stack of that process')
      },
    }
  }

  get id(): string {
    return this.#peer.identity.nodeId
  }

  /** A worker has broken its connection, by itself or with the process that it is in. */
  workerLost(worker: WorkerProcess): void {
    const process = this.#workers.of(this.#peer.identity.processId)
    void process?.livesOrExited().then(() => this.#report(worker))
    if (!process) this.#report(worker)
  }

  /** Gives up a worker that does not leave in time: what keeps its thread busy cannot be interrupted. */
  async #end(processId: string): Promise<void> {
    const worker = this.#workers.of(processId)
    if (!worker) return
    await within(worker.leave(), GRACE)
    worker.disconnect('it was ended')
  }

  #report({ processId }: WorkerProcess): void {
    this.#workers.exited(processId, { reason: 'it left the process that it was in' })
  }
}
