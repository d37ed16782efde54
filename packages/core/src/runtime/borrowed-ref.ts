import { ObjectLostError } from '../common/errors.js'
import type { Location, Outcome } from '../protocol/location.js'
import { LinkLostError } from '../transport/link.js'
import { ObjectRef } from './ref.js'
import { RemoteRefState, type RemoteValue } from './remote-ref-state.js'

/** Requests that this process makes of a ref's owner. */
export interface RefOwner {
  hold(id: string): Promise<void>
  release(id: string): Promise<void>
  fetch(id: string, lost?: string): Promise<Outcome>
}

/** Fetches a value from where it lives. */
export type FetchAt = (location: Location) => Promise<unknown>

interface Held {
  readonly id: string
  readonly owner: RefOwner
}

/** Lets the owners know of refs that nothing in this process uses any more. */
const collected = new FinalizationRegistry<Held>(letGo)

let borrowed = 0

/** The number of refs of others that this process holds. */
export function borrowedCount(): number {
  return borrowed
}

function letGo({ id, owner }: Held): void {
  borrowed -= 1
  owner.release(id).catch(() => {})
}

/** A ref of a value that another process owns. The value comes over when it is first awaited. */
export class BorrowedRef<T> extends ObjectRef<T> {
  readonly #held: Held
  readonly #ownerData: unknown
  readonly #start: () => void

  /** @param ownerData the owner, as it is sent when the ref is passed on */
  constructor(id: string, owner: RefOwner, ownerData: unknown, fetchAt: FetchAt) {
    let settle!: { resolve: (value: unknown) => void; reject: (error: unknown) => void }
    super(
      (resolve, reject) => {
        settle = { resolve: (value) => resolve(value as T), reject }
      },
      id,
      {
        asked: () => this.#ask(),
        wanted: () => this.#ask(),
        freed: () => {
          if (collected.unregister(this.#held)) letGo(this.#held)
        },
      },
    )
    this.#held = { id, owner }
    this.#ownerData = ownerData
    this.#start = () => {
      const unused = this.use()
      const started = askOwner(owner, id).then((outcome) => {
        if ('value' in outcome) settle.resolve(outcome.value)
        else
          this.locate(
            new RemoteRefState(new BorrowedValue(owner, id, outcome.at, fetchAt), settle.resolve, settle.reject),
          )
      }, settle.reject)
      void started.then(unused)
    }
    borrowed += 1
    collected.register(this, this.#held, this.#held)
  }

  #isAsked = false

  /** @internal The owner, as it is sent when the ref is passed on. */
  get ownerData(): unknown {
    return this.#ownerData
  }

  #ask(): void {
    if (this.#isAsked) return
    this.#isAsked = true
    this.#start()
  }
}

/** A borrowed value that lives neither here nor with its owner. */
class BorrowedValue implements RemoteValue {
  readonly isLost = false

  constructor(
    private readonly owner: RefOwner,
    private readonly id: string,
    public location: Location,
    private readonly fetchAt: FetchAt,
  ) {}

  fetch(): Promise<unknown> {
    return this.fetchAt(this.location)
  }

  async recover(): Promise<{ readonly value: unknown } | undefined> {
    const outcome = await askOwner(this.owner, this.id, this.location.holder.processId)
    if ('value' in outcome) return outcome
    this.location = outcome.at
    return undefined
  }

  arrived(): void {}

  free(): void {}
}

/** Asks the owner of a ref for its value, which may be told to be elsewhere. */
export async function askOwner(owner: RefOwner, id: string, lost?: string): Promise<Outcome> {
  try {
    return await owner.fetch(id, lost)
  } catch (error) {
    if (!(error instanceof LinkLostError)) throw error
    throw new ObjectLostError(`the value of the ref ${id} was lost with the process that owned it: ${error.message}`)
  }
}
