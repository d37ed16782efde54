import { createHash, type Hash } from 'node:crypto'
import { createReadStream, existsSync } from 'node:fs'
import { type FileHandle, mkdir, open, rename, rm, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { InvalidInputError } from '@troupe/core'
import type { HubHttp } from './hub-http.js'

/** A file of a repository. */
export interface HubFile {
  path: string
  /** Bytes. */
  size: number
  /** Of what Git LFS stores, its sha256; of other files, their object id in Git, a sha1. */
  hash: string
}

class ChangedContent extends Error {}

/**
 * Fetches a file to `path`, going on behind what another process has fetched of it, and checks its size and hash.
 * @param onBytes is told how many bytes more are there; fewer if some have to be fetched again
 * @throws InvalidInputError if it is other than the hub says; HubStatusError; what the network or the disk throws
 */
export async function download(
  http: HubHttp,
  url: string,
  file: HubFile,
  path: string,
  onBytes: (bytes: number) => void,
): Promise<void> {
  if (existsSync(path)) return onBytes(file.size)
  await mkdir(dirname(path), { recursive: true })
  const incomplete = `${path}.incomplete`
  for (let isAgain = false; ; isAgain = true) {
    try {
      await fetchRest(http, url, file, incomplete, onBytes)
      await rename(incomplete, path)
      return
    } catch (error) {
      if (!(error instanceof ChangedContent)) throw error
      onBytes(-(await sizeOf(incomplete)))
      await rm(incomplete, { force: true })
      if (isAgain) {
        throw new InvalidInputError(
          `${file.path} arrives with other content than the hub lists (${error.message}), twice; try again later, without a proxy or mirror between`,
        )
      }
    }
  }
}

async function fetchRest(
  http: HubHttp,
  url: string,
  file: HubFile,
  path: string,
  onBytes: (bytes: number) => void,
): Promise<void> {
  if ((await sizeOf(path)) > file.size) await rm(path)
  const content = await PartialFile.open(path, file)
  try {
    onBytes(content.size)
    let before = -1
    const hasProgressed = () => {
      const more = content.size > before
      before = content.size
      return more
    }
    await http.insist(async () => {
      while (content.size < file.size) await fetchOnce(http, url, content, file.size, onBytes)
    }, hasProgressed)
    await content.check()
  } finally {
    await content.close()
  }
}

async function fetchOnce(
  http: HubHttp,
  url: string,
  content: PartialFile,
  size: number,
  onBytes: (bytes: number) => void,
): Promise<void> {
  // Compressed, a range would not be one of the file.
  const response = await http.get(url, { range: `bytes=${content.size}-`, 'accept-encoding': 'identity' })
  const start = Number(/^bytes (\d+)-/.exec(response.headers.get('content-range') ?? '')?.[1])
  if (response.status === 416 || (response.status === 206 && start !== content.size)) {
    await response.body?.cancel()
    throw new ChangedContent('its length differs')
  }
  if (response.status !== 206 && content.size > 0) {
    onBytes(-content.size)
    await content.clear()
  }
  if (!response.body) throw new ChangedContent('it is empty')
  const before = content.size
  for await (const chunk of response.body as AsyncIterable<Uint8Array>) {
    if (content.size + chunk.byteLength > size) throw new ChangedContent(`it is longer than ${size} bytes`)
    await content.append(chunk)
    onBytes(chunk.byteLength)
  }
  if (content.size === before) throw new ChangedContent(`it ends after ${content.size} of ${size} bytes`)
}

/** A file that grows, and the hash of what it holds. */
class PartialFile {
  size = 0
  #hash: Hash

  private constructor(
    private readonly handle: FileHandle,
    private readonly file: HubFile,
  ) {
    this.#hash = newHash(file)
  }

  /** Opens what there is of a file, which may be nothing. */
  static async open(path: string, file: HubFile): Promise<PartialFile> {
    const content = new PartialFile(await open(path, existsSync(path) ? 'r+' : 'w+'), file)
    try {
      for await (const chunk of createReadStream(path)) {
        content.#hash.update(chunk)
        content.size += chunk.length
      }
      return content
    } catch (error) {
      await content.close()
      throw error
    }
  }

  async append(chunk: Uint8Array): Promise<void> {
    for (let done = 0; done < chunk.byteLength; ) {
      const { bytesWritten } = await this.handle.write(chunk, done, chunk.byteLength - done, this.size + done)
      done += bytesWritten
    }
    this.#hash.update(chunk)
    this.size += chunk.byteLength
  }

  async clear(): Promise<void> {
    await this.handle.truncate(0)
    this.#hash = newHash(this.file)
    this.size = 0
  }

  /** @throws ChangedContent if it is not the file; it is on the disk then. */
  async check(): Promise<void> {
    const hash = this.#hash.digest('hex')
    const { size } = await this.handle.stat()
    if (size !== this.file.size) throw new ChangedContent(`${size} of ${this.file.size} bytes`)
    if (hash !== this.file.hash) throw new ChangedContent(`hash ${hash}, expected ${this.file.hash}`)
    await this.handle.sync()
  }

  close(): Promise<void> {
    return this.handle.close()
  }
}

/** Git hashes a file behind a line that says how long it is. */
function newHash({ hash, size }: HubFile): Hash {
  return hash.length === 64 ? createHash('sha256') : createHash('sha1').update(`blob ${size}\0`)
}

async function sizeOf(path: string): Promise<number> {
  return existsSync(path) ? (await stat(path)).size : 0
}
