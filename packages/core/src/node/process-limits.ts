import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

/** Processes and threads that some limit counts. */
export interface InUse {
  readonly used: number
  readonly limit: number
}

/** The limit, if there is one, that leaves fewer than so many processes and threads: of the user, or of a container. */
export function usedUp(needed: number): InUse | undefined {
  const limits = [userLimit, containerLimit]
  for (const limit of limits) {
    const found = limit()
    if (found && found.used + needed > found.limit) return found
  }
  return undefined
}

/** The limit of the user of this process, which the kernel does not hold root to. */
function userLimit(): InUse | undefined {
  const uid = process.getuid?.() ?? 0
  const [, soft] = /^Max processes +(\d+)/m.exec(readOrNone('/proc/self/limits')) ?? []
  if (uid === 0 || soft === undefined) return undefined
  return { used: threadsOf(uid), limit: Number(soft) }
}

/** The number of threads that the processes of a user have. */
function threadsOf(uid: number): number {
  let count = 0
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue
    const status = readOrNone(`/proc/${name}/status`)
    if (new RegExp(`^Uid:\\s+${uid}\\s`, 'm').test(status)) count += Number(/^Threads:\s+(\d+)/m.exec(status)?.[1] ?? 0)
  }
  return count
}

/** The limit of that control group of this process which leaves the fewest. */
function containerLimit(): InUse | undefined {
  const groups = readOrNone('/proc/self/cgroup')
  const [, path] = /^\d+:pids:(.*)$/m.exec(groups) ?? /^0::(.*)$/m.exec(groups) ?? []
  if (path === undefined) return undefined
  const root = /^\d+:pids:/m.test(groups) ? '/sys/fs/cgroup/pids' : '/sys/fs/cgroup'
  let least: InUse | undefined
  // Inside a container the root may be its own group, and the path one that only its host knows.
  for (let folder = join(root, path); folder.startsWith(root); folder = dirname(folder)) {
    const [limit, used] = ['pids.max', 'pids.current'].map((name) =>
      Number.parseInt(readOrNone(join(folder, name)), 10),
    )
    if (!limit || used === undefined || Number.isNaN(used)) continue
    if (!least || limit - used < least.limit - least.used) least = { used, limit }
  }
  return least
}

function readOrNone(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return ''
  }
}
