import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import type { Death } from '../protocol/actor.js'
import { usedUp } from './process-limits.js'

/**
 * Descriptors that a node's own process needs for one of its workers: three pipes, its connection, and what starting it
 * takes.
 */
const FILES_PER_WORKER = 8
/** Descriptors that are left for everything else that the process has to open meanwhile. */
const SPARE_FILES = 8

/** Threads that a process of Node.js begins with. */
const THREADS_PER_PROCESS = 16
const TOO_MANY =
  'the limit of processes and threads is reached; raise that of its user (ulimit -u) or of its container, or spawn fewer actors'

/** The reason why no process can be started. */
export class StartRefusal extends Error {}

/**
 * Starts a process with pipes for what it reads and writes.
 *
 * @param files descriptors that this process will need for it
 * @throws StartRefusal if this process has too few descriptors left
 */
export function startProcess(
  args: readonly string[],
  options: SpawnOptions,
  files = FILES_PER_WORKER + SPARE_FILES,
): ChildProcess {
  const { open, limit } = openFiles()
  const refusal = () =>
    new StartRefusal(
      `its process could not be started: the process that starts it (${process.pid}) has ${open} of the ${limit} files open ` +
        `that it may have, and needs up to ${files} more; raise the limit (ulimit -n) there, or spawn fewer actors, or with ` +
        `isolation 'thread' or 'local'`,
    )
  if (open + files > limit) throw refusal()
  let child: ChildProcess
  try {
    child = spawn(process.execPath, args, options)
  } catch (error) {
    if (isOutOfFiles(error)) throw refusal()
    throw new StartRefusal(explainStart(error as NodeJS.ErrnoException, options).reason)
  }
  if (child.stdin) return child
  // Without descriptors Node.js makes no pipes either, and says so later.
  child.on('error', () => {})
  throw refusal()
}

/** The death of a process that failed to start. */
export function explainStart(error: NodeJS.ErrnoException, { cwd }: Pick<SpawnOptions, 'cwd'>): Death {
  const what = 'its process could not be started'
  if (error.code === 'ENOENT' && cwd !== undefined && !existsSync(cwd)) {
    return { reason: `${what}: the folder ${cwd} that it is to work in does not exist on its node; give another cwd` }
  }
  if (error.code === 'EAGAIN') return { reason: `${what}: ${TOO_MANY} (EAGAIN)`, isRefused: true }
  if (error.code === 'ENOMEM') return { reason: `${what}: the host has no memory left (ENOMEM)`, isRefused: true }
  return { reason: `${what}: ${error.message}` }
}

/**
 * The death of a process of Node.js that aborted: it does so, often without a word, when it gets no thread. Undefined where
 * there are enough left.
 */
export function explainAbort(): Death | undefined {
  const found = usedUp(THREADS_PER_PROCESS)
  if (!found) return undefined
  const { used, limit } = found
  const reason = `its process could not be started, or went on no more (SIGABRT) with ${used} of ${limit} in use: ${TOO_MANY}`
  return { reason, isRefused: true }
}

/** Whether an operation failed because this process, or the host, has too many files open. */
export function isOutOfFiles(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException
  return code === 'EMFILE' || code === 'ENFILE'
}

/** The number of files that this process has open, and that it may have. Without an end where that cannot be read. */
function openFiles(): { open: number; limit: number } {
  const limit = maxFiles()
  try {
    return { open: readdirSync('/proc/self/fd').length, limit }
  } catch (error) {
    return { open: isOutOfFiles(error) ? limit : 0, limit }
  }
}

let limitOfFiles: number | undefined

function maxFiles(): number {
  limitOfFiles ??= readLimit()
  return limitOfFiles
}

function readLimit(): number {
  try {
    const [, soft] = /^Max open files +(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8')) ?? []
    return soft === undefined ? Number.POSITIVE_INFINITY : Number(soft)
  } catch {
    return Number.POSITIVE_INFINITY
  }
}
