import { readdirSync, readFileSync } from 'node:fs'
import type { ExecutionContext } from 'ava'
import { statusOf } from '../common/process-status.js'
import { CLUSTER_VARIABLE } from '../protocol/boot.js'
import { until } from './until.js'

/** The processes that live and carry a cluster's mark in their environment. */
export function processesOf(clusterId: string): number[] {
  const mark = `${CLUSTER_VARIABLE}=${clusterId}\0`
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => pid > 0 && readProc(pid, 'environ').includes(mark))
}

/** Whether a process runs, also one that is ending: that has lost its environment already, but is no zombie yet. */
export function isAlive(pid: number): boolean {
  try {
    return !/[ZX]/.test(statusOf(`/proc/${pid}/stat`)[0]!)
  } catch {
    return false
  }
}

/** Resolves once no process is left for which the function returns something, or fails naming those. */
export async function untilGone(t: ExecutionContext, left: () => number[]): Promise<void> {
  const pids = await until(left, ({ length }) => length === 0)
  t.deepEqual(
    pids.map((pid) => readProc(pid, 'cmdline').replaceAll('\0', ' ')),
    [],
    'no process is left',
  )
}

/** Files of Troupe's in shared memory and among the temporary files, without those of tests and processes that run. */
export function files(): string[] {
  const isLeft = (name: string) => {
    const [, pid] = /^troupe-code-\w+-(\d+)-/.exec(name) ?? []
    return /^troupe(?!-test-)/.test(name) && !(pid && isAlive(Number(pid)))
  }
  return ['/dev/shm', '/tmp'].flatMap((folder) => readdirSync(folder).filter(isLeft))
}

/** A file that the kernel has of a process; empty once that has ended. */
export function readProc(pid: number, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'latin1')
  } catch {
    return ''
  }
}
