import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/** A request for a file, as the server got it. */
export interface SeenRequest {
  path: string
  range: string | undefined
  /** Whether it went to the content network, which must get no token. */
  isContent: boolean
  authorization: string | undefined
}

/** What goes wrong with an answer: a status, or how many bytes come before the connection is cut or nothing more comes. */
export type Fault =
  | { status: number; headers?: Record<string, string> }
  | { cutAfter: number }
  | { stallAfter: number }
  | { content: Buffer }
  | { ignoresRanges: true }

export interface HubRepository {
  commit: string
  files: Map<string, Buffer>
  /** Files that Git LFS stores. */
  large: RegExp
  isGated?: boolean
}

/** A hub as the Hugging Face one answers, on this machine: listings in pages, files by redirects to a content network. */
export class HubServer {
  readonly repositories = new Map<string, HubRepository>()
  readonly seen: SeenRequest[] = []
  /** The token without which gated repositories answer with an error. */
  token: string | undefined
  /** Asked for the fault of each request. */
  fault: (request: SeenRequest) => Fault | undefined = () => undefined
  #api!: Server
  #content!: Server

  static async start(t: { teardown(undo: () => unknown): void }): Promise<HubServer> {
    const hub = new HubServer()
    hub.#api = createServer((request, response) => hub.#answer(request, response, false))
    hub.#content = createServer((request, response) => hub.#answer(request, response, true))
    for (const server of [hub.#api, hub.#content]) {
      server.listen(0, '127.0.0.1')
      await once(server, 'listening')
    }
    t.teardown(() => hub.stop())
    return hub
  }

  get endpoint(): string {
    return urlOf(this.#api)
  }

  stop(): void {
    for (const server of [this.#api, this.#content]) {
      server.close()
      server.closeAllConnections()
    }
  }

  add(name: string, files: Record<string, Buffer | string>): HubRepository {
    const entries = Object.entries(files).map(([path, content]) => [path, Buffer.from(content)] as const)
    const repository = {
      commit: randomBytes(20).toString('hex'),
      files: new Map(entries),
      large: /\.(safetensors|gguf|bin)$/,
    }
    this.repositories.set(name, repository)
    return repository
  }

  #answer(request: IncomingMessage, response: ServerResponse, isContent: boolean): unknown {
    const url = new URL(request.url!, this.endpoint)
    const { range, authorization } = request.headers
    const seen = { path: decodeURIComponent(url.pathname), range, isContent, authorization }
    this.seen.push(seen)
    const fault = this.fault(seen)
    if (fault && 'status' in fault) {
      return response.writeHead(fault.status, fault.headers).end('fault')
    }
    const [, api, name, kind, revision, path] =
      /^\/(api\/models\/)?([^/]+\/[^/]+)\/(revision|tree|resolve)\/([^/]+)(?:\/(.*))?$/.exec(seen.path) ?? []
    const repository = this.repositories.get(name ?? '')
    if (!repository) return refuse(response, authorization ? 404 : 401, 'RepoNotFound')
    const isKnown = revision === repository.commit || revision === 'main'
    if (!isKnown) return refuse(response, 404, 'RevisionNotFound')
    const isRefused = repository.isGated && authorization !== `Bearer ${this.token}` && !isContent
    if (isRefused && kind === 'resolve') return refuse(response, authorization ? 403 : 401, 'GatedRepo')
    response.setHeader('X-Repo-Commit', repository.commit)
    if (api && kind === 'revision') return json(response, infoOf(name!, repository))
    if (api) return this.#list(response, repository, url)
    const content = repository.files.get(path!)
    if (!content) return refuse(response, 404, 'EntryNotFound')
    const isLarge = repository.large.test(path!)
    if (isLarge && !isContent) {
      response.setHeader('X-Linked-ETag', `"${sha256(content)}"`)
      return response.writeHead(302, { location: `${urlOf(this.#content)}${url.pathname}?signature=secret` }).end()
    }
    return sendFile(response, content, range, fault)
  }

  /** Two entries a page. */
  #list(response: ServerResponse, repository: HubRepository, url: URL): void {
    const start = Number(url.searchParams.get('cursor') ?? 0)
    const entries = [...repository.files].map(([path, content]) => ({
      ...{ type: 'file', path, size: content.length, oid: gitHash(content) },
      ...(repository.large.test(path) ? { lfs: { oid: sha256(content), size: content.length, pointerSize: 130 } } : {}),
    }))
    if (start + 2 < entries.length) {
      url.searchParams.set('cursor', String(start + 2))
      response.setHeader('Link', `<${this.endpoint}${url.pathname}${url.search}>; rel="next"`)
    }
    json(response, entries.slice(start, start + 2))
  }
}

function sendFile(
  response: ServerResponse,
  content: Buffer,
  range: string | undefined,
  fault: Fault | undefined,
): unknown {
  const isWhole = fault && 'ignoresRanges' in fault
  const start = isWhole ? 0 : Number(/^bytes=(\d+)-$/.exec(range ?? '')?.[1] ?? 0)
  const sent = (fault && 'content' in fault ? fault.content : content).subarray(start)
  if (start >= content.length && content.length > 0) return response.writeHead(416).end()
  const headers = { etag: '"x"', 'content-length': String(sent.length), 'accept-ranges': 'bytes' }
  if (range === undefined || isWhole) response.writeHead(200, headers)
  else
    response.writeHead(206, { ...headers, 'content-range': `bytes ${start}-${content.length - 1}/${content.length}` })
  if (fault && 'cutAfter' in fault) response.write(sent.subarray(0, fault.cutAfter), () => response.destroy())
  else if (fault && 'stallAfter' in fault) response.write(sent.subarray(0, fault.stallAfter))
  else response.end(sent)
  return
}

function infoOf(name: string, { commit, isGated }: HubRepository): object {
  return {
    ...{ _id: 'x', id: name, sha: commit, private: false, gated: isGated ? 'manual' : false },
    ...{ downloads: 1, likes: 1, lastModified: '2024-01-01T00:00:00.000Z' },
  }
}

function json(response: ServerResponse, value: unknown): void {
  response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(value))
}

function refuse(response: ServerResponse, status: number, code: string): void {
  response.writeHead(status, { 'X-Error-Code': code, 'content-type': 'application/json' }).end('{"error":"refused"}')
}

function urlOf(server: Server): string {
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

function sha256(content: Buffer): string {
  return createHash('sha256').update(content).digest('hex')
}

export function gitHash(content: Buffer): string {
  return createHash('sha1').update(`blob ${content.length}\0`).update(content).digest('hex')
}
