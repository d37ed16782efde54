import { ObjectLostError } from '../api/errors.js'
import { ObjectRef } from '../api/ref.js'
import { LinkLostError } from '../transport/link.js'

/** What the owner of a ref does for this process. */
export interface RefOwner {
  hold(id: string): Promise<void>
  release(id: string): Promise<void>
  fetch(id: string): Promise<unknown>
}

interface Held {
  readonly id: string
  readonly owner: RefOwner
}

/** Lets the owners know of refs that nothing in this process uses any more. */
const collected = new FinalizationRegistry<Held>(letGo)

let borrowed = 0

/** How many refs of others this process holds. */
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
  readonly #start: () => void
  #isStarted = false

  constructor(
    id: string,
    readonly owner: RefOwner,
    /** What stands for the owner when the ref is passed on. */
    readonly ownerData: unknown,
  ) {
    let start!: () => void
    super(
      (resolve, reject) => {
        start = () => void fetchFrom(owner, id).then((value) => resolve(value as T), reject)
      },
      id,
      { release: () => this.#release() },
    )
    this.#held = { id, owner }
    this.#start = start
    borrowed += 1
    collected.register(this, this.#held, this.#held)
  }

  // biome-ignore lint/suspicious/noThenProperty: the ref is a promise whose value is fetched when it is first asked for
  override then<A = T, B = never>(
    fulfilled?: ((value: T) => A | PromiseLike<A>) | null,
    rejected?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    if (!this.#isStarted) {
      this.#isStarted = true
      this.#start()
    }
    return super.then(fulfilled, rejected)
  }

  #release(): void {
    if (collected.unregister(this.#held)) letGo(this.#held)
  }
}

async function fetchFrom(owner: RefOwner, id: string): Promise<unknown> {
  try {
    return await owner.fetch(id)
  } catch (error) {
    if (!(error instanceof LinkLostError)) throw error
    throw new ObjectLostError(`the value of the ref ${id} was lost with the process that owned it: ${error.message}`)
  }
}
