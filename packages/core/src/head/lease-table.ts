import { InvalidInputError, WorkerDiedError } from '../common/errors.js'
import { LATE } from '../common/timer.js'
import type { Death } from '../protocol/actor.js'
import type { Lease, LeaseRequest } from '../protocol/placement.js'
import { randomId } from '../transport/connection-manager.js'
import type { ClusterScheduler, Demand, Grant } from './cluster-scheduler.js'
import type { Owner } from './records.js'
import { notImported, prepareFolders, WorkerExit, type WorkerPool, type WorkerProcess } from './worker-pool.js'

/** Milliseconds of running that a worker has to finish a cancelled task. */
const LAST_MOMENTS = 1000

/** Attempts to start a worker for a task. */
const ATTEMPTS = 3

/** Lost leases that are remembered. */
const REMEMBERED_DEAD = 1000

interface Held {
  readonly id: string
  readonly what: string
  readonly owner: string
  readonly driver: string
  readonly grant: Grant
  readonly worker: WorkerProcess
  readonly since: number
  /** The number of things that the task waits for: leases of its own calls, and refs. Above 0 its resources are lent. */
  children: number
  /** Resolves when the module of its function has been imported there. */
  readonly imported: Promise<void>
}

/** The function that a leased worker runs, and the time for its import. */
type Task = Pick<LeaseRequest, 'method' | 'startTimeout'>

/** The workers that processes run tasks on. */
export class LeaseTable {
  readonly #scheduler: ClusterScheduler
  readonly #workers: WorkerPool
  readonly #held = new Map<string, Held>()
  /** The lease of the worker that each process is. */
  readonly #byProcess = new Map<string, Held>()
  /** The deaths of the workers of the latest lost leases. */
  readonly #deaths = new Map<string, Death>()

  constructor(scheduler: ClusterScheduler, workers: WorkerPool) {
    this.#scheduler = scheduler
    this.#workers = workers
  }

  /**
   * Gives a process a worker to run tasks on, until it gives it back.
   *
   * @throws InvalidInputError if no node could ever have the resources
   */
  async lease({ method, startTimeout, ...place }: LeaseRequest, owner: Owner): Promise<Lease> {
    const parent = this.#byProcess.get(owner.processId)
    this.#lend(parent)
    try {
      const { processId, driver } = owner
      const isNested = parent !== undefined
      const { what, resources, nodeId, labels, bundle } = place
      const demand = { what, resources, nodeId, labels, bundle, owner: processId, driver, isNested }
      const lease = await this.#startSomewhere(demand, owner, { method, startTimeout })
      const held = this.#held.get(lease.id)
      if (held && owner.isGone) await this.#discard(held, 'its owner has gone')
      return lease
    } catch (error) {
      this.#reclaim(parent)
      throw error
    }
  }

  /**
   * Takes a lease back.
   *
   * @param how `busy` if a cancelled task may still run there; `lost` if the connection broke
   * @returns the worker's death, if it was lost
   */
  async end(id: string, how: 'idle' | 'busy' | 'lost'): Promise<Death | undefined> {
    const held = this.#held.get(id)
    if (!held) return this.#deaths.get(id)
    const { worker } = held
    if (how === 'lost') {
      await worker.livesOrExited()
      const { death } = worker
      await this.#discard(held, 'its connection broke')
      return death
    }
    // One that still imports the module could do nothing for others.
    const idle = how === 'idle' ? Promise.resolve(true) : worker.service.idle().catch(() => false)
    const isIdle = (await worker.within(Promise.all([idle, held.imported]), LAST_MOMENTS)) !== LATE && (await idle)
    if (this.#held.get(id) !== held) return this.#deaths.get(id)
    if (!isIdle) await this.#discard(held, 'a cancelled task did not end')
    else if (this.#forget(held)) this.#workers.rest(worker)
    return undefined
  }

  /** The task of a worker waits for something that others may have to compute. */
  block(processId: string): string | undefined {
    const held = this.#byProcess.get(processId)
    this.#lend(held)
    return held?.id
  }

  unblock(id: string): void {
    this.#reclaim(this.#held.get(id))
  }

  /** A process or a driver has gone, and with it those who ran tasks for it. */
  async endOwnedBy(owner: string): Promise<void> {
    const owned = [...this.#held.values()].filter((held) => held.owner === owner || held.driver === owner)
    // With the driver goes all that its workers hold; they may hold results for others of its processes otherwise.
    const end = (held: Held) =>
      held.driver === owner ? this.#discard(held, 'its owner has gone') : this.end(held.id, 'busy')
    await Promise.all(owned.map(end))
  }

  /** Ends the tasks of a placement group. */
  async endGroup(group: string): Promise<void> {
    const held = [...this.#held.values()].filter(({ grant }) => grant.group === group)
    await Promise.all(held.map((one) => this.#discard(one, 'its placement group was removed')))
  }

  /** The worker of a lease. */
  workerOf(id: string): WorkerProcess | undefined {
    return this.#held.get(id)?.worker
  }

  /** The leases that are held, with the processes that hold them and the seconds since they got them. */
  list(): { name: string; age: number; pid: number; nodeId: string; owner: string }[] {
    return [...this.#held.values()].map(({ what, since, worker, owner }) => {
      return { name: what, age: (performance.now() - since) / 1000, pid: worker.pid, nodeId: worker.node.id, owner }
    })
  }

  /** A worker that does not start is tried again, perhaps on another node. */
  async #startSomewhere(demand: Demand, owner: Owner, task: Task): Promise<Lease> {
    for (let attempt = 1; ; attempt++) {
      const grant = await this.#scheduler.acquire(demand)
      try {
        return await this.#start(demand.what, grant, owner, task)
      } catch (error) {
        if (!(error instanceof WorkerExit)) throw error
        const { reason, isRefused, cause } = error.death
        if (isRefused && cause instanceof InvalidInputError) throw cause
        if (attempt === ATTEMPTS || isRefused || owner.isGone) throw new WorkerDiedError(demand.what, reason)
      }
    }
  }

  async #start(what: string, grant: Grant, owner: Owner, task: Task): Promise<Lease> {
    const id = randomId()
    const { driver, namespace, directory } = owner
    try {
      const exited = (death: Death) => {
        const held = this.#held.get(id)
        if (!held) return
        this.#remember(id, death)
        this.#forget(held)
      }
      const folders = await prepareFolders(grant.node, directory)
      const worker = await this.#workers.take(grant.node, {
        ...{ name: what, driver, namespace, directory, exited },
        isDropped: () => owner.isGone,
      })
      const equip = worker.unlessExited(worker.service.equip(grant.taken.gpus, folders, task.method))
      const imported = worker.untilImported(
        task.method,
        task.startTimeout,
        equip.then((isThere) => !isThere),
      )
      let held: Held | undefined
      const late = async (death: Death) => {
        if (!held) await this.#workers.end(worker, death)
        else if (this.#held.get(id) === held) await this.#end(held, death)
      }
      void this.#limitImport(what, task, imported, late)
      await equip
      const since = performance.now()
      held = {
        id,
        what,
        owner: owner.processId,
        driver,
        grant,
        worker,
        since,
        children: 0,
        imported: imported.then(
          () => {},
          () => {},
        ),
      }
      this.#held.set(id, held)
      this.#byProcess.set(worker.processId, held)
      return { id, address: worker.address }
    } catch (error) {
      this.#scheduler.release(grant)
      throw error
    }
  }

  /** Ends a worker whose import does not end, by an endless loop or what it awaits: nobody would ever hear of it. */
  async #limitImport(
    what: string,
    { method, startTimeout }: Task,
    imported: Promise<unknown>,
    late: (death: Death) => Promise<void>,
  ): Promise<void> {
    if ((await imported.catch(() => undefined)) !== LATE) return
    const module = method.slice(0, method.lastIndexOf('#'))
    const reason = `the ${notImported(module, startTimeout)}`
    await late({ reason, isRefused: true, cause: new InvalidInputError(`task ${what}: ${reason}`) })
  }

  #discard(held: Held, reason: string): Promise<void> {
    return this.#end(held, { reason })
  }

  async #end(held: Held, death: Death): Promise<void> {
    this.#remember(held.id, death)
    this.#forget(held)
    await this.#workers.end(held.worker, death)
  }

  #remember(id: string, death: Death): void {
    this.#deaths.set(id, death)
    if (this.#deaths.size > REMEMBERED_DEAD) this.#deaths.delete(this.#deaths.keys().next().value!)
  }

  #forget(held: Held): boolean {
    if (!this.#held.delete(held.id)) return false
    if (this.#byProcess.get(held.worker.processId) === held) this.#byProcess.delete(held.worker.processId)
    if (held.children === 0) this.#scheduler.release(held.grant)
    this.#reclaim(this.#byProcess.get(held.owner))
    return true
  }

  #lend(parent: Held | undefined): void {
    if (parent && ++parent.children === 1) this.#scheduler.lend(parent.grant)
  }

  #reclaim(parent: Held | undefined): void {
    if (parent && parent.children > 0 && --parent.children === 0) this.#scheduler.takeBack(parent.grant)
  }
}
