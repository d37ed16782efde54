import { randomBytes } from 'node:crypto'
import { existsSync, linkSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { InvalidInputError } from '../common/errors.js'
import { Secret } from '../transport/secret.js'
import { runningClusters } from './running-clusters.js'

/** Carries the token of a cluster that spans hosts. */
export const TOKEN_VARIABLE = 'TROUPE_TOKEN'
/** A token that can be guessed can be guessed from what goes over the wire. */
const LEAST_CHARACTERS = 16

/** The file of the token, for where the environment has none. */
export function tokenFile(): string {
  return join(homedir(), '.troupe', 'token')
}

/**
 * The secret that lets this process into a cluster that spans hosts: the token given, else TROUPE_TOKEN, else that of the
 * cluster of this user that runs there, else what the file has.
 *
 * @param address `HOST:PORT` of the head
 * @throws InvalidInputError if there is none, or it is too short, or others may read the file
 */
export function joiningSecret(address: string, given?: string): Secret {
  const token = given ?? process.env[TOKEN_VARIABLE] ?? secretOfOwn(address) ?? readToken()
  if (token !== undefined) return checked(token)
  throw new InvalidInputError(
    `joining a cluster needs its token: set ${TOKEN_VARIABLE}, or copy ${tokenFile()} from the host of its head`,
  )
}

function secretOfOwn(address: string): string | undefined {
  try {
    return runningClusters().find((cluster) => cluster.address === address)?.secret.text
  } catch {
    return undefined
  }
}

/** The same for a head, which makes up a token and keeps it in the file where there is none. */
export function headSecret(given?: string): Secret {
  return checked(given ?? process.env[TOKEN_VARIABLE] ?? readToken() ?? createToken())
}

/** A secret for a cluster that nobody has to join by hand. */
export function randomSecret(): Secret {
  return new Secret(randomToken())
}

function checked(token: string): Secret {
  const text = token.trim()
  if (text.length >= LEAST_CHARACTERS) return new Secret(text)
  throw new InvalidInputError(`a token needs at least ${LEAST_CHARACTERS} characters, found ${text.length}`)
}

function readToken(): string | undefined {
  const file = tokenFile()
  const mode = statSync(file, { throwIfNoEntry: false })?.mode
  if (mode === undefined) return undefined
  if ((mode & 0o077) === 0) return readFileSync(file, 'utf8')
  throw new InvalidInputError(`others can read ${file}; make a new token, or trust this one and run: chmod 600 ${file}`)
}

/** The environment without the token, for processes that run the code of others: they are told what they need. */
export function withoutToken({ [TOKEN_VARIABLE]: _, ...others }: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return others
}

/** Writes a new token beside its place first: of two heads that start at a time, both get what the first one made up. */
function createToken(): string {
  const file = tokenFile()
  const draft = `${file}.${process.pid}`
  try {
    mkdirSync(dirname(file), { recursive: existsSync(homedir()), mode: 0o700 })
    writeFileSync(draft, `${randomToken()}\n`, { mode: 0o600 })
    linkSync(draft, file)
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    if (code !== 'EEXIST') {
      throw new InvalidInputError(`no token can be kept in ${file}; set ${TOKEN_VARIABLE} (${message})`, {
        cause: error,
      })
    }
  } finally {
    rmSync(draft, { force: true })
  }
  return readFileSync(file, 'utf8')
}

function randomToken(): string {
  return randomBytes(32).toString('base64url')
}
