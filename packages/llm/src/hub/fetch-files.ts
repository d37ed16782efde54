import type { CacheFolder } from './cache-folder.js'
import { download, type HubFile } from './download.js'
import type { HubHttp } from './hub-http.js'

/** Downloads at a time, so that a server's limit for one connection is not that of the model. */
const AT_A_TIME = 4

/** How far a download is. */
export interface DownloadProgress {
  /** The path in the repository of the file that bytes have come of. */
  file: string
  /** Bytes of all files that are here, from now and before. */
  bytes: number
  /** Bytes of all files. */
  totalBytes: number
  /** Fetched since the start, on average. */
  bytesPerSecond: number
}

/** Fetches files of a commit, several at a time, into the cache. A failure of one ends all, and `http`. */
export async function fetchFiles(
  http: HubHttp,
  cache: CacheFolder,
  commit: string,
  urlOf: (path: string) => string,
  files: readonly HubFile[],
  onProgress: (progress: DownloadProgress) => void,
): Promise<void> {
  const totalBytes = files.reduce((sum, { size }) => sum + size, 0)
  const start = performance.now()
  let bytes = 0
  let fetched = 0
  const waiting = [...new Map(files.map((file) => [file.hash, file])).values()]
  const copies = (hash: string) => files.filter((file) => file.hash === hash)
  const fetchAll = async () => {
    for (let file = waiting.shift(); file; file = waiting.shift()) {
      const { path, hash } = file
      let isFirst = true
      const onBytes = (more: number) => {
        bytes += more
        if (!isFirst) fetched += Math.max(0, more)
        isFirst = false
        const bytesPerSecond = (fetched * 1000) / Math.max(1, performance.now() - start)
        onProgress({ file: path, bytes, totalBytes, bytesPerSecond })
      }
      await download(http, urlOf(path), file, cache.blob(hash), onBytes)
      for (const copy of copies(hash)) await cache.link(commit, copy.path, hash)
      bytes += (copies(hash).length - 1) * file.size
    }
  }
  let failure: unknown
  const fail = async (error: unknown) => {
    failure ??= error
    await http.close()
  }
  await Promise.all(Array.from({ length: AT_A_TIME }, () => fetchAll().catch(fail)))
  if (failure !== undefined) throw failure
}
