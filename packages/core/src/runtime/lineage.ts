import { ObjectLostError } from '../common/errors.js'
import type { Location } from '../protocol/location.js'
import type { Outgoing } from './outgoing.js'
import type { Origin } from './remote-result-table.js'

/** Bytes of arguments that a process keeps in order to compute lost results again; beyond, the oldest are let go. */
const MOST_KEPT_BYTES = 2 ** 30

const kept = new Set<Lineage>()
let keptBytes = 0

/** The call of a task whose result, or several, may be lost with the process that holds it. */
export class Lineage {
  readonly #bytes: number
  #parts = 0
  #isKept = true
  #run = 0
  #latest: Promise<unknown> = Promise.resolve()

  /**
   * @param what names the task
   * @param left the number of times that it may be run again
   * @param run runs it
   */
  constructor(
    private readonly what: string,
    private readonly outgoing: Outgoing,
    private left: number,
    private readonly run: (outgoing: Outgoing, retries: number) => Promise<unknown>,
  ) {
    this.#bytes = outgoing.bytes
    kept.add(this)
    keptBytes += this.#bytes
    for (const oldest of kept) {
      if (keptBytes <= MOST_KEPT_BYTES) break
      oldest.#drop()
    }
  }

  /** One result of the task; `index` where it is one of several. */
  part(index?: number): Origin {
    this.#parts += 1
    let [run, isDone] = [this.#run, false]
    return {
      again: async (lost) => {
        // Another of the results may have been computed with this one already.
        if (run === this.#run) this.#again(lost)
        run = this.#run
        const result = await this.#latest
        return index === undefined ? result : (result as unknown[])[index]
      },
      done: () => {
        if (isDone) return
        isDone = true
        this.#parts -= 1
        if (this.#parts === 0) this.#drop()
      },
    }
  }

  #again(lost: Location): void {
    const where = `was lost with the process ${lost.holder.processId} of node ${lost.holder.nodeId}`
    if (!this.#isKept || this.left <= 0) {
      const why = this.#isKept ? 'may not be run again: raise maxRetries' : 'had arguments that are not kept any more'
      throw new ObjectLostError(`a result of the task ${this.what} ${where}, and the task ${why}`)
    }
    this.left -= 1
    this.#run += 1
    this.#latest = this.run(this.outgoing, this.left).catch((error) => {
      throw new ObjectLostError(
        `a result of the task ${this.what} ${where}, and to compute it again failed: ${error}`,
        {
          cause: error,
        },
      )
    })
    this.#latest.catch(() => {})
  }

  #drop(): void {
    if (!kept.delete(this)) return
    keptBytes -= this.#bytes
    this.#isKept = false
    this.outgoing.done()
  }
}
