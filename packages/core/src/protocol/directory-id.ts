import { createHash, type Hash } from 'node:crypto'

/**
 * Names what a working directory holds: how its `.js` files are to be read where it has no package.json of its own, and the
 * SHA-256 of its files as an archive.
 */
export type DirectoryId = string

export type ModuleType = 'module' | 'commonjs'

export function directoryId(type: ModuleType, hash: Hash): DirectoryId {
  return `${type}-${hash.digest('hex')}`
}

/** @throws TypeError if it is no such id: it becomes a part of paths */
export function moduleTypeOf(id: DirectoryId): ModuleType {
  const [, type] = /^(module|commonjs)-[\da-f]{64}$/.exec(id) ?? []
  if (!type) throw new TypeError(`expected the id of a working directory, found ${JSON.stringify(id)}`)
  return type as ModuleType
}

export function newHash(): Hash {
  return createHash('sha256')
}
