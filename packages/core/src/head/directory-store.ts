import { createReadStream } from 'node:fs'
import { appendFile, open, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { createGunzip } from 'node:zlib'
import { Deferred } from '../common/deferred.js'
import { InvalidInputError } from '../common/errors.js'
import type { OwnFolder } from '../node/own-folder.js'
import { type DirectoryId, directoryId, moduleTypeOf, newHash } from '../protocol/directory-id.js'

/** Bytes that are read at a time. */
const CHUNK = 2 ** 20

/** Directories that nobody uses and that are kept for the next driver. */
const KEPT_UNUSED = 4

interface Stored {
  readonly path: string
  /** The driver that sends it; undefined once it is whole. */
  sender: string | undefined
  /** Resolves when it is whole, or its sender has gone. */
  readonly settled: Promise<void>
  settle(): void
}

/** The head's store of working directories: takes each once from a driver, and hands it to the nodes. */
export class DirectoryStore {
  readonly #folder: OwnFolder
  readonly #stored = new Map<DirectoryId, Stored>()

  constructor(folder: OwnFolder) {
    this.#folder = folder
  }

  /** Whether a driver is to send a directory; waits while another one does. */
  async offer(id: DirectoryId, sender: string): Promise<boolean> {
    moduleTypeOf(id)
    for (;;) {
      const known = this.#stored.get(id)
      if (!known) break
      if (known.sender === undefined) {
        // The one that was used last is kept longest.
        this.#stored.delete(id)
        this.#stored.set(id, known)
        return false
      }
      await known.settled
    }
    const { promise: settled, resolve: settle } = new Deferred()
    this.#stored.set(id, { path: join(this.#folder.path(), `${id}.tar.gz`), sender, settled, settle })
    return true
  }

  async append(id: DirectoryId, sender: string, bytes: Uint8Array): Promise<void> {
    await appendFile(this.#sentBy(id, sender).path, bytes)
  }

  /**
   * The whole directory has been sent.
   *
   * @throws InvalidInputError if it is another one than was offered
   */
  async finish(id: DirectoryId, sender: string): Promise<void> {
    const stored = this.#sentBy(id, sender)
    const hash = newHash()
    await pipeline(createReadStream(stored.path), createGunzip(), async (pieces: AsyncIterable<Uint8Array>) => {
      for await (const piece of pieces) hash.update(piece)
    })
    if (directoryId(moduleTypeOf(id), hash) !== id) {
      throw new InvalidInputError('the working directory changed while it was sent; connect again')
    }
    stored.sender = undefined
    stored.settle()
  }

  /** A part of the archive of a directory; empty at its end. */
  async read(id: DirectoryId, offset: number): Promise<Uint8Array> {
    const file = await open(this.#whole(id).path)
    try {
      const { buffer, bytesRead } = await file.read(Buffer.allocUnsafe(CHUNK), 0, CHUNK, offset)
      return buffer.subarray(0, bytesRead)
    } finally {
      await file.close()
    }
  }

  has(id: DirectoryId): boolean {
    const stored = this.#stored.get(id)
    return stored !== undefined && stored.sender === undefined
  }

  /** A driver has gone: what it had not sent to the end is dropped. */
  async senderGone(sender: string): Promise<void> {
    for (const [id, stored] of this.#stored) if (stored.sender === sender) await this.#drop(id, stored)
  }

  /** Drops all but the latest of those that are not in use, and returns them. */
  async trim(isUsed: (id: DirectoryId) => boolean): Promise<DirectoryId[]> {
    const unused = [...this.#stored].filter(([id, { sender }]) => sender === undefined && !isUsed(id))
    const dropped = unused.slice(0, Math.max(0, unused.length - KEPT_UNUSED))
    for (const [id, stored] of dropped) await this.#drop(id, stored)
    return dropped.map(([id]) => id)
  }

  async #drop(id: DirectoryId, stored: Stored): Promise<void> {
    this.#stored.delete(id)
    stored.settle()
    await rm(stored.path, { force: true })
  }

  #sentBy(id: DirectoryId, sender: string): Stored {
    const stored = this.#stored.get(id)
    if (stored?.sender !== sender) throw new InvalidInputError(`the working directory ${id} was not asked for`)
    return stored
  }

  #whole(id: DirectoryId): Stored {
    const stored = this.#stored.get(id)
    if (!stored || stored.sender !== undefined) throw new InvalidInputError(`there is no working directory ${id}`)
    return stored
  }
}
