import { InvalidInputError } from '@troupe/core'
import type { HubSettings } from './settings.js'

/** An answer of the hub that says no. */
export class HubStatusError extends Error {
  constructor(
    readonly status: number,
    /** `X-Error-Code`, such as `GatedRepo`. */
    readonly code: string,
  ) {
    super(`status ${status}`)
  }
}

const DISK: Record<string, string> = {
  ENOSPC: 'the disk is full',
  EDQUOT: "the user's share of the disk is used up",
  EACCES: 'this user may not write there',
  EPERM: 'this user may not write there',
  EROFS: 'it is read-only',
  ENOTDIR: 'a part of the path is a file',
}

/** What went wrong as an error that says what to do, without tokens and signed URLs; `what` is the model or its file. */
export function explained(error: unknown, what: string, revision: string, settings: HubSettings): unknown {
  if (error instanceof InvalidInputError || !(error instanceof Error) || error.name === 'AbortError') return error
  const status = error instanceof HubStatusError ? error : undefined
  if (status) return new InvalidInputError(refusal(status, what, revision, settings))
  const code = codeOf(error)
  const full = DISK[code]
  if (full !== undefined) {
    return new InvalidInputError(
      `${what} cannot be kept in ${settings.cacheFolder}: ${full}; make room there, or set HF_HOME to another folder`,
    )
  }
  return new InvalidInputError(
    `${what} is no path, and cannot be fetched: no connection to ${hostOf(settings)} (${code || safe(error.message)}); check the network, HTTPS_PROXY and HF_ENDPOINT, and try again: what was fetched is kept`,
  )
}

/** Whether the hub was not reached, or cannot answer now. */
export function isUnreachable(error: unknown): boolean {
  if (error instanceof HubStatusError) return error.status === 429 || error.status >= 500
  return (
    error instanceof Error &&
    !(error instanceof InvalidInputError) &&
    DISK[codeOf(error)] === undefined &&
    error.name !== 'AbortError'
  )
}

function refusal({ status, code }: HubStatusError, what: string, revision: string, settings: HubSettings): string {
  const host = hostOf(settings)
  const page = `https://${host}/${what.split(':')[0]}`
  if (code === 'GatedRepo' || (status === 403 && code === '')) {
    const how = settings.token ? 'with the account of your token' : 'and set HF_TOKEN to a token of that account'
    return `${what} is only given to who has accepted its terms: accept them at ${page} ${how}`
  }
  if (code === 'RevisionNotFound')
    return `${what} has no revision ${revision} at ${host}; name a branch, a tag or a commit that it has`
  if (status === 401 && settings.token) {
    return `${host} does not take the token for ${what}: check HF_TOKEN, or the file in which \`hf auth login\` keeps it, and the model's name`
  }
  if (status === 401 || status === 404 || code === 'RepoNotFound') {
    const login = settings.token ? 'and that your token may read it' : 'and set HF_TOKEN if it is private or gated'
    return `${what} is neither a path nor a model at ${host}; check the path, or the name ORG/NAME, ${login}`
  }
  if (status === 407) return `${what} cannot be fetched: the proxy asks for a password; put it into HTTPS_PROXY`
  if (status === 429)
    return `${what} cannot be fetched: ${host} allows no more requests for now; wait some minutes${settings.token ? '' : ', or set HF_TOKEN, which allows more'}`
  return `${what} cannot be fetched: ${host} answers with status ${status}; try again later: what was fetched is kept`
}

export function hostOf(settings: HubSettings): string {
  return new URL(settings.endpoint).host
}

function codeOf(error: Error & { code?: unknown }): string {
  if (typeof error.code === 'string') return error.code
  return error.cause instanceof Error ? codeOf(error.cause) : ''
}

/** Signed URLs are as good as a token. */
function safe(message: string): string {
  return message
    .replaceAll(/\bhttps?:\/\/\S+/g, 'a URL')
    .replaceAll(/\bhf_\w+/g, 'a token')
    .replaceAll(/\s+/g, ' ')
    .slice(0, 200)
}
