import { existsSync, mkdirSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { ExecutionContext } from 'ava'
import { until } from './until.js'

/** What a container may have, as the two versions of the kernel's interface call it: where its groups are, and a file of theirs. */
const limits = {
  memory: [
    { folder: '/sys/fs/cgroup/memory', file: 'memory.limit_in_bytes' },
    { folder: '/sys/fs/cgroup', file: 'memory.max' },
  ],
  processes: [
    { folder: '/sys/fs/cgroup/pids', file: 'pids.max' },
    { folder: '/sys/fs/cgroup', file: 'pids.max' },
  ],
}

/**
 * A group of processes that may have so many bytes, or processes and threads, together, as in a container, until the test ends;
 * undefined where this user may make none. Gives what runs a command in it: see `runUnder`.
 */
export function container(t: ExecutionContext, what: keyof typeof limits, most: number): readonly string[] | undefined {
  for (const { folder, file } of limits[what]) {
    const group = join(folder, `troupe-test-${what}-${process.pid}`)
    try {
      mkdirSync(group)
    } catch {
      continue
    }
    t.teardown(() => until(() => removed(group)))
    if (!existsSync(join(group, file))) continue
    writeFileSync(join(group, file), String(most))
    return ['sh', '-c', 'echo $$ >"$0/cgroup.procs" && exec "$@"', group]
  }
  t.log(`left out: this user may make no control group with a limit of ${what}`)
  return undefined
}

/** A group stays while a process of it does. */
function removed(group: string): boolean {
  try {
    rmdirSync(group)
    return true
  } catch {
    return false
  }
}
