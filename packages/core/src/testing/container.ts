import { existsSync, mkdirSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { ExecutionContext } from 'ava'
import { until } from './until.js'

/** Where control groups of memory are, and what their limit is called, in both versions of the kernel's interface. */
const interfaces = [
  { folder: '/sys/fs/cgroup/memory', limit: 'memory.limit_in_bytes' },
  { folder: '/sys/fs/cgroup', limit: 'memory.max' },
]

/**
 * A group of processes that may have so many bytes together, as in a container, until the test ends; undefined where this user may
 * make none. Gives what runs a command in it: see `runUnder`.
 */
export function limitedMemory(t: ExecutionContext, bytes: number): readonly string[] | undefined {
  for (const { folder, limit } of interfaces) {
    const group = join(folder, `troupe-test-${process.pid}`)
    try {
      mkdirSync(group)
    } catch {
      continue
    }
    t.teardown(() => until(() => removed(group)))
    if (!existsSync(join(group, limit))) continue
    writeFileSync(join(group, limit), String(bytes))
    return ['sh', '-c', 'echo $$ >"$0/cgroup.procs" && exec "$@"', group]
  }
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
