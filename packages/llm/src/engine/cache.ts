import { createHash } from 'node:crypto'

/**
 * The blocks of a replica's KV cache. A block holds `ranks` × `blockTokens` tokens that follow each other, `blockTokens` of them on
 * each sequence rank, at the same place there.
 *
 * Texts that begin alike share blocks: a block is counted by those who use it, and one whose tokens are known is found by their hash.
 * What nobody uses any more keeps its content until its place is needed; the one that was used longest ago goes first.
 */
export class BlockPool {
  readonly #users: Uint32Array
  readonly #hashes: (string | undefined)[]
  readonly #found = new Map<string, number>()
  readonly #empty: number[]
  /** Blocks that nobody uses and whose content can be found, that which was used longest ago first. */
  readonly #kept = new Set<number>()

  /**
   * @param blocks how many each rank has
   * @param isShared whether texts that begin alike share blocks
   */
  constructor(
    readonly ranks: number,
    readonly blocks: number,
    readonly blockTokens: number,
    readonly isShared = true,
  ) {
    this.#users = new Uint32Array(blocks)
    this.#hashes = new Array(blocks)
    this.#empty = Array.from({ length: blocks }, (_, i) => blocks - 1 - i)
  }

  /** Tokens of a block, on all ranks together. */
  get tokens(): number {
    return this.ranks * this.blockTokens
  }

  /** Blocks that nobody uses. */
  get free(): number {
    return this.#empty.length + this.#kept.size
  }

  /** Blocks that nobody uses whose content is kept. */
  get kept(): number {
    return this.#kept.size
  }

  /**
   * A block for new tokens.
   * @throws Error if all are in use.
   */
  take(): number {
    const block = this.#empty.pop() ?? this.#evict()
    if (block === undefined) throw new Error(`all ${this.blocks} blocks of the KV cache are in use`)
    this.#users[block] = 1
    return block
  }

  /** The block that holds the tokens of a hash, behind those that the hash says come before. */
  find(hash: string): number | undefined {
    return this.#found.get(hash)
  }

  /** Whether somebody uses a block. */
  isUsed(block: number): boolean {
    return this.#users[block]! > 0
  }

  /** Uses a block that was found. */
  share(block: number): void {
    if (this.#users[block]!++ === 0) this.#kept.delete(block)
  }

  /** Has a block that is full be found by its hash. If another has the same content already, that one stays the one that is found. */
  publish(block: number, hash: string): void {
    if (this.#found.has(hash)) return
    this.#found.set(hash, block)
    this.#hashes[block] = hash
  }

  /** A block is used by one less. */
  release(block: number): void {
    if (--this.#users[block]! > 0) return
    if (this.#hashes[block] === undefined) this.#empty.push(block)
    else this.#kept.add(block)
  }

  /** Has a block, which its only user is about to change, not be found any more. */
  conceal(block: number): void {
    if (this.#users[block]! > 1) throw new Error('a block of the KV cache that others use too cannot be changed')
    this.#forget(block)
  }

  #evict(): number | undefined {
    for (const block of this.#kept) {
      this.#kept.delete(block)
      this.#forget(block)
      return block
    }
    return undefined
  }

  #forget(block: number): void {
    const hash = this.#hashes[block]
    if (hash === undefined) return
    this.#found.delete(hash)
    this.#hashes[block] = undefined
  }
}

/**
 * The hashes of a text's whole blocks, each of its tokens and of the hash before, so that equal hashes mean equal texts up to
 * there (as in vLLM's automatic prefix caching).
 */
export class BlockHashes {
  readonly #hashes: string[] = []

  /** @param blockTokens Tokens of a block, on all ranks together. */
  constructor(private readonly blockTokens: number) {}

  /** The hashes of the whole blocks of a text, of which what was asked about before is the beginning. */
  of(tokens: readonly number[]): readonly string[] {
    while ((this.#hashes.length + 1) * this.blockTokens <= tokens.length) {
      const start = this.#hashes.length * this.blockTokens
      const own = Int32Array.from(tokens.slice(start, start + this.blockTokens))
      const hash = createHash('sha256')
        .update(this.#hashes.at(-1) ?? '', 'binary')
        .update(own)
      this.#hashes.push(hash.digest('binary'))
    }
    return this.#hashes
  }
}
