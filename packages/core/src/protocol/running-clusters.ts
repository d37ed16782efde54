import { createHash } from 'node:crypto'
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { homedir, hostname } from 'node:os'
import { dirname, join } from 'node:path'
import { InvalidInputError } from '../common/errors.js'
import { statusOf } from '../common/process-status.js'
import { Secret } from '../transport/secret.js'

// The clusters of a user that run on this machine, a file each: how other programs of the same user find them.

/** A cluster of this user whose head runs on this machine. */
export interface RunningCluster {
  readonly id: string
  /** The argument of `connect({ address })`: `HOST:PORT`, or `ipc://@NAME` of a cluster that stays within this machine. */
  readonly address: string
  /** Lets processes into the cluster. */
  readonly secret: { readonly text: string }
  /** The node of its head. */
  readonly nodeId: string
  /** The script that started it. */
  readonly program: string
  /** The process of that script. */
  readonly pid: number
  readonly startedAt: Date
}

/** The content of a file, in which the secret is its text. */
type Content = Omit<RunningCluster, 'secret' | 'startedAt'> & { readonly secret: string; readonly startedAt: string }

/** The file that says that a head's cluster runs. */
export interface Listing {
  /** Removes the file: the cluster runs no more. */
  remove(): void
}

/** The script that this process runs, as others are told of it. */
export function programName(): string {
  return (
    process.argv[1] ?? (process.execArgv.some((flag) => /^(-e|--eval|-p|--print)\b/.test(flag)) ? '[eval]' : 'node')
  )
}

/** The folder of the files, which only their user may read. */
export function clustersFolder(): string {
  return join(homedir(), '.troupe', 'clusters')
}

/**
 * Says that the cluster of a head in this process runs. Removes what earlier ones have left behind. A cluster runs all the
 * same where no file can be kept; it is not found by others then.
 */
export function listCluster(cluster: RunningCluster): Listing {
  try {
    const folder = clustersFolder()
    prepare(folder)
    sweep(folder)
    const name = nameOf({ ...machine(), pid: process.pid, start: startOf(process.pid) ?? '', id: cluster.id })
    const content: Content = { ...cluster, secret: cluster.secret.text, startedAt: cluster.startedAt.toISOString() }
    const [file, draft] = [join(folder, `${name}.json`), join(folder, `${name}.draft`)]
    try {
      writeFileSync(draft, `${JSON.stringify(content)}\n`, { mode: 0o600, flag: 'wx' })
      renameSync(draft, file)
    } catch (error) {
      rmSync(draft, { force: true })
      throw error
    }
    return { remove: () => removeFile(file) }
  } catch {
    return { remove() {} }
  }
}

/**
 * The clusters of this user whose heads run on this machine, the oldest first. Removes what killed ones have left.
 *
 * @throws InvalidInputError if their folder is another user's, or cannot be read
 */
export function runningClusters(): RunningCluster[] {
  const folder = clustersFolder()
  const found = lstatSync(folder, { throwIfNoEntry: false })
  if (!found) return []
  checkOwn(folder)
  try {
    const clusters = sweep(folder).flatMap((name) => readCluster(join(folder, name)))
    return clusters.sort((left, right) => left.startedAt.getTime() - right.startedAt.getTime())
  } catch (error) {
    throw new InvalidInputError(
      `the folder of your running clusters cannot be read (${(error as Error).message}); give the address of a cluster`,
      { cause: error },
    )
  }
}

/** Makes the folder where it is missing, and keeps others out of it. */
function prepare(folder: string): void {
  // Not in the home folder of another user, as of one who runs this with sudo.
  if (statSync(homedir()).uid !== user()) throw new InvalidInputError(`${homedir()} is another user's`)
  mkdirSync(dirname(folder), { recursive: true, mode: 0o700 })
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  checkOwn(folder)
  if ((lstatSync(folder).mode & 0o077) !== 0) chmodSync(folder, 0o700)
}

function checkOwn(folder: string): void {
  const found = lstatSync(folder)
  if (found.isDirectory() && found.uid === user()) return
  const what = found.isDirectory() ? `is that of user ${found.uid}` : 'is no folder'
  throw new InvalidInputError(
    `expected ${folder} to be a folder of yours (user ${user()}), but it ${what}; remove it, or give the address of a cluster`,
  )
}

/** Removes the files of heads that have ended, and returns the names of those of heads that run. */
function sweep(folder: string): string[] {
  const here = machine()
  const running: string[] = []
  for (const file of readdirSync(folder)) {
    const owner = readName(file)
    // Only the machine that has written a file, or the container with process ids of its own, can tell whether it holds.
    if (!owner || owner.host !== here.host) continue
    if (owner.boot !== here.boot) removeFile(join(folder, file))
    else if (owner.processes !== here.processes) continue
    else if (startOf(owner.pid) !== owner.start) removeFile(join(folder, file))
    else if (file.endsWith('.json')) running.push(file)
  }
  return running
}

/** The cluster of a file, or none if the file has gone meanwhile, is not this user's alone, or has something else in it. */
function readCluster(file: string): RunningCluster[] {
  try {
    const found = lstatSync(file)
    if (!found.isFile() || found.uid !== user() || (found.mode & 0o077) !== 0) return []
    const { id, address, secret, nodeId, program, pid, startedAt } = JSON.parse(readFileSync(file, 'utf8')) as Content
    const texts: unknown[] = [id, address, secret, nodeId, program, startedAt]
    if (!texts.every((text) => typeof text === 'string') || !Number.isInteger(pid)) return []
    return [{ id, address, secret: new Secret(secret), nodeId, program, pid, startedAt: new Date(startedAt) }]
  } catch {
    return []
  }
}

/** The process that has written a file, as the file's name tells. */
interface Writer {
  readonly host: string
  readonly boot: string
  /** The namespace of process ids that its own is of. */
  readonly processes: string
  readonly pid: number
  readonly start: string
  readonly id: string
}

function nameOf({ host, boot, processes, pid, start, id }: Writer): string {
  return [host, boot, processes, pid, start, id].join('-')
}

function readName(file: string): Writer | undefined {
  const match = /^(\w+)-(\w+)-(\d*)-(\d+)-(\d*)-(\w+)\.(?:json|draft)$/.exec(file)
  if (!match) return undefined
  const [, host, boot, processes, pid, start, id] = match as unknown as string[]
  return { host: host!, boot: boot!, processes: processes!, pid: Number(pid), start: start!, id: id! }
}

/** Home folders may be shared by machines and containers, which then do not know each other's processes. */
function machine(): Pick<Writer, 'host' | 'boot' | 'processes'> {
  return {
    host: digest(hostname()),
    boot: digest(textOf(() => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8'))),
    processes: textOf(() => readlinkSync('/proc/self/ns/pid')).replace(/\D/g, ''),
  }
}

function digest(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 8)
}

/** The start of a process, in ticks since that of the machine, which tells it from a later one of the same id. */
function startOf(pid: number): string | undefined {
  try {
    const fields = statusOf(`/proc/${pid}/stat`)
    return /[ZX]/.test(fields[0]!) ? undefined : fields[19]
  } catch {
    return undefined
  }
}

function textOf(read: () => string): string {
  try {
    return read()
  } catch {
    return ''
  }
}

function removeFile(file: string): void {
  try {
    rmSync(file, { force: true })
  } catch {}
}

function user(): number {
  return process.getuid?.() ?? 0
}
