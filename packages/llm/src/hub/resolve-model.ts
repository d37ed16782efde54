import { existsSync, readFileSync, statSync } from 'node:fs'
import { statfs } from 'node:fs/promises'
import { join } from 'node:path'
import { InvalidInputError } from '@troupe/core'
import { CacheFolder } from './cache-folder.js'
import type { HubFile } from './download.js'
import { type DownloadProgress, fetchFiles } from './fetch-files.js'
import { explained, isUnreachable } from './hub-errors.js'
import { HubHttp } from './hub-http.js'
import { makeFolder } from './make-folder.js'
import { type ModelName, parseModelName } from './model-name.js'
import { exclusively } from './process-lock.js'
import { INDEX, type Selection, selectFiles } from './select-files.js'
import { type HubSettings, hubSettings } from './settings.js'

/** How a model is found and fetched. */
export interface ResolveModelOptions {
  /** Asks the hub for a newer version of a model that is in the cache. Default false. */
  update?: boolean
  /** Is told how far the download is. */
  onProgress?: (progress: DownloadProgress) => void
  /** Is told if another process fetches the model, which is waited for. */
  onWait?: () => void
  /** Ends the download; what was fetched is kept. */
  signal?: AbortSignal
  /** By default those of the environment: HF_HOME, HF_TOKEN, HF_ENDPOINT, HF_HUB_OFFLINE and the like. */
  settings?: HubSettings
}

/**
 * The path of a model: that which is given, if there is something at it; else of `ORG/NAME[@REVISION][:QUANTIZATION]` or
 * `ORG/NAME/FILE.gguf` in the cache of Hugging Face's libraries, into which it is fetched from the hub if it is not there.
 * @throws InvalidInputError if it is neither, cannot be fetched, or is not one that can be read.
 */
export async function resolveModel(nameOrPath: string, options: ResolveModelOptions = {}): Promise<string> {
  if (existsSync(nameOrPath)) return nameOrPath
  const name = parseModelName(nameOrPath)
  const settings = options.settings ?? hubSettings()
  const cache = new CacheFolder(settings.cacheFolder, name.repository)
  if (settings.isOffline) return fromCache(name, cache, 'may lack a tokenizer')
  const cached = await fromCache(name, cache, 'whole').catch(() => undefined)
  if (cached !== undefined && !options.update) return cached

  const http = new HubHttp(settings, options.signal)
  try {
    makeFolder(cache.path)
    return await exclusively(cache.path, () => fromHub(name, cache, http, options), options.onWait ?? (() => {}))
  } catch (error) {
    if (cached !== undefined && isUnreachable(error)) return cached
    if (options.signal?.aborted) throw options.signal.reason
    throw explained(error, name.repository, name.revision, settings)
  } finally {
    await http.close()
  }
}

/** @throws InvalidInputError naming what is missing. */
async function fromCache(
  name: ModelName,
  cache: CacheFolder,
  wanted: 'whole' | 'may lack a tokenizer',
): Promise<string> {
  const commit = cache.commitOf(name.revision)
  const files = commit === undefined ? [] : cache.filesOf(commit)
  if (commit === undefined || files.length === 0) {
    throw new InvalidInputError(
      `${name.repository}@${name.revision} is not in ${cache.path}, and HF_HUB_OFFLINE is set; fetch it with HF_HUB_OFFLINE=0`,
    )
  }
  const folder = cache.snapshot(commit)
  try {
    const selection = await selectFiles(name, files, async () =>
      indexedFiles(readFileSync(join(folder, INDEX), 'utf8')),
    )
    const isWhole = selection.gguf !== undefined || files.includes('tokenizer.json')
    if (wanted === 'whole' && !isWhole)
      throw new InvalidInputError(`${name.repository} has no tokenizer.json in the cache`)
    return pathOf(selection, folder)
  } catch (error) {
    if (!(error instanceof InvalidInputError)) throw error
    throw new InvalidInputError(`HF_HUB_OFFLINE is set, and of ${folder} is true: ${error.message}`)
  }
}

async function fromHub(
  name: ModelName,
  cache: CacheFolder,
  http: HubHttp,
  options: ResolveModelOptions,
): Promise<string> {
  const { commit, files } = await listing(name, http)
  const resolveUrl = (path: string) =>
    `${http.settings.endpoint}/${name.repository}/resolve/${commit}/${path.split('/').map(encodeURIComponent).join('/')}`
  const selection = await selectFiles(name, [...files.keys()], async () => {
    await fetchFiles(http, cache, commit, resolveUrl, [files.get(INDEX)!], () => {})
    return indexedFiles(readFileSync(join(cache.snapshot(commit), INDEX), 'utf8'))
  })
  const wanted = selection.files.map((path) => files.get(path)!)
  await expectRoom(cache, wanted)
  await fetchFiles(http, cache, commit, resolveUrl, wanted, options.onProgress ?? (() => {}))
  await cache.setRevision(name.revision, commit)
  return pathOf(selection, cache.snapshot(commit))
}

/** The commit that a revision is, and its files by their paths. */
async function listing(name: ModelName, http: HubHttp): Promise<{ commit: string; files: Map<string, HubFile> }> {
  const { listFiles, modelInfo } = await import('@huggingface/hub')
  const common = { hubUrl: http.settings.endpoint, fetch: http.fetch }
  const { sha } = await modelInfo({
    ...common,
    name: name.repository,
    revision: name.revision,
    additionalFields: ['sha'],
  })
  const repo = { type: 'model', name: name.repository } as const
  const files = new Map<string, HubFile>()
  for await (const entry of listFiles({ ...common, repo, revision: sha, recursive: true })) {
    const hash = entry.lfs?.oid ?? entry.oid
    const isSafe = !/(^|[\\/])\.\.?([\\/]|$)|^[\\/]|\\|\0/.test(entry.path)
    if (entry.type !== 'file' || !isSafe || hash === undefined || !/^([0-9a-f]{40}|[0-9a-f]{64})$/.test(hash)) continue
    files.set(entry.path, { path: entry.path, size: entry.lfs?.size ?? entry.size, hash })
  }
  if (!/^[0-9a-f]{40}$/.test(sha))
    throw new InvalidInputError(`${http.settings.endpoint} names no commit of ${name.repository}; check HF_ENDPOINT`)
  return { commit: sha, files }
}

function indexedFiles(text: string): string[] {
  try {
    const names = Object.values((JSON.parse(text) as { weight_map: Record<string, unknown> }).weight_map)
    return [...new Set(names.map(String))]
  } catch {
    throw new InvalidInputError(`its ${INDEX} has no weight_map; choose another revision`)
  }
}

/** @throws InvalidInputError if the disk has less room than is still to fetch. */
async function expectRoom(cache: CacheFolder, files: readonly HubFile[]): Promise<void> {
  const missing = files.filter(({ hash }) => !existsSync(cache.blob(hash)))
  const bytes = missing.reduce((sum, { size }) => sum + size, 0)
  const begun = missing.reduce((sum, { hash }) => sum + sizeOf(`${cache.blob(hash)}.incomplete`), 0)
  const { bavail, bsize } = await statfs(cache.path)
  if (bytes - begun <= bavail * bsize) return
  const gigabytes = (value: number) => `${(value / 1e9).toFixed(1)} GB`
  throw new InvalidInputError(
    `the model takes ${gigabytes(bytes - begun)} more in ${cache.path}, where ${gigabytes(bavail * bsize)} are free; make room there, or set HF_HOME to another folder`,
  )
}

function sizeOf(path: string): number {
  return existsSync(path) ? statSync(path).size : 0
}

function pathOf({ gguf }: Selection, folder: string): string {
  return gguf === undefined ? folder : join(folder, gguf)
}
