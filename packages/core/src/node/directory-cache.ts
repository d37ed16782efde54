import { existsSync, mkdirSync, readdirSync, realpathSync, symlinkSync, writeFileSync } from 'node:fs'
import { mkdtemp, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { Readable, Transform } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { fileURLToPath } from 'node:url'
import { createGunzip } from 'node:zlib'
import { extract } from 'tar'
import { InvalidInputError } from '../common/errors.js'
import { type DirectoryId, directoryId, moduleTypeOf, newHash } from '../protocol/directory-id.js'
import type { OwnFolder } from './own-folder.js'

/** Gives a part of the archive of a directory; empty at its end. */
export type ReadDirectory = (id: DirectoryId, offset: number) => Promise<Uint8Array>

/**
 * The working directories that a node has unpacked, by what they hold. Each has beside it what it would find above it at
 * home: a package.json with the type of its modules, and packages. The packages are the node's: of the folder that it was
 * started in and the folders above, and this package itself, of which a process must have only one.
 */
export class DirectoryCache {
  readonly #folder: OwnFolder
  readonly #read: ReadDirectory
  readonly #roots = new Map<DirectoryId, Promise<string>>()

  constructor(folder: OwnFolder, read: ReadDirectory) {
    this.#folder = folder
    this.#read = read
  }

  /** The folder with a directory's files; fetched and unpacked where that has not been done. */
  root(id: DirectoryId): Promise<string> {
    const known = this.#roots.get(id)
    if (known) return known
    const root = this.#unpack(id)
    this.#roots.set(id, root)
    root.catch(() => this.#roots.delete(id))
    return root
  }

  /** Removes a directory that nobody uses any more. */
  async drop(id: DirectoryId): Promise<void> {
    const root = this.#roots.get(id)
    this.#roots.delete(id)
    if (root) await rm(dirname(await root), { recursive: true, force: true })
  }

  async #unpack(id: DirectoryId): Promise<string> {
    const type = moduleTypeOf(id)
    const base = realpathSync(this.#folder.path())
    const making = await mkdtemp(join(base, 'making-'))
    try {
      const files = join(making, 'files')
      mkdirSync(files)
      await this.#fetch(id, files)
      writeFileSync(join(making, 'package.json'), JSON.stringify({ type }))
      linkPackages(join(making, 'node_modules'))
      await rename(making, join(base, id))
      return join(base, id, 'files')
    } catch (error) {
      await rm(making, { recursive: true, force: true })
      throw error
    }
  }

  async #fetch(id: DirectoryId, folder: string): Promise<void> {
    const hash = newHash()
    const hashing = new Transform({
      transform(piece, _, done) {
        hash.update(piece)
        done(null, piece)
      },
    })
    let refused: string | undefined
    const unpacking = extract({
      cwd: folder,
      strict: true,
      preserveOwner: false,
      filter: (path, entry) => {
        const isFile = 'type' in entry && (entry.type === 'File' || entry.type === 'OldFile')
        if (!isFile || leavesFolder(path)) refused ??= path
        return refused === undefined
      },
    })
    await pipeline(Readable.from(this.#pieces(id)), createGunzip(), hashing, unpacking)
    if (refused !== undefined) {
      throw new InvalidInputError(`the package of a working directory has an entry that is no file of it: ${refused}`)
    }
    if (directoryId(moduleTypeOf(id), hash) !== id) {
      throw new InvalidInputError(`the package of the working directory ${id} holds something else`)
    }
  }

  async *#pieces(id: DirectoryId): AsyncGenerator<Uint8Array> {
    for (let offset = 0; ; ) {
      const piece = await this.#read(id, offset)
      if (piece.length === 0) return
      yield piece
      offset += piece.length
    }
  }
}

function leavesFolder(path: string): boolean {
  return path.startsWith('/') || path.includes('\\') || path.split('/').includes('..')
}

/** Makes a folder of links to the packages of this node. */
function linkPackages(folder: string): void {
  mkdirSync(join(folder, '@troupe'), { recursive: true })
  const link = (name: string, target: string) => {
    if (!existsSync(join(folder, name))) symlinkSync(target, join(folder, name))
  }
  for (const name of ['core', 'tensor']) {
    link(`@troupe/${name}`, packageRoot(fileURLToPath(import.meta.resolve(`@troupe/${name}`))))
  }
  for (let above = process.cwd(); ; above = dirname(above)) {
    const packages = join(above, 'node_modules')
    for (const name of existsSync(packages) ? readdirSync(packages) : []) {
      if (name.startsWith('.')) continue
      if (!name.startsWith('@')) link(name, join(packages, name))
      else {
        mkdirSync(join(folder, name), { recursive: true })
        for (const scoped of readdirSync(join(packages, name))) link(`${name}/${scoped}`, join(packages, name, scoped))
      }
    }
    if (dirname(above) === above) return
  }
}

function packageRoot(path: string): string {
  return existsSync(join(path, 'package.json')) ? path : packageRoot(dirname(path))
}
