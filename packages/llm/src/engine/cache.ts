/** Hands out the blocks of one sequence rank's KV cache. */
export class BlockAllocator {
  readonly #free: number[]

  constructor(readonly blocks: number) {
    this.#free = Array.from({ length: blocks }, (_, i) => blocks - 1 - i)
  }

  /** @throws Error if none is free. */
  take(): number {
    const block = this.#free.pop()
    if (block === undefined) throw new Error(`all ${this.blocks} blocks of the KV cache are in use`)
    return block
  }

  /** Gives blocks back. */
  free(blocks: readonly number[]): void {
    this.#free.push(...blocks)
  }
}
