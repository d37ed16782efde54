import { readdirSync, readFileSync } from 'node:fs'
import { adoptOrphans as adopt, reap } from '@troupe/native'

/** Milliseconds between two looks: enough for Node.js to take notice of a child of its own that has ended. */
const INTERVAL = 100

let isAdopting = false
let isLooking = false
/** Children that had ended at the last look. */
let ended: ReadonlySet<number> = new Set()

/**
 * Makes this process the parent of what loses its parent below it, and takes notice of its end, without which an ended process
 * would be listed, and count against the limit of processes, as long as this one lives. Once is enough.
 */
export function adoptOrphans(): void {
  if (isAdopting) return
  isAdopting = true
  adopt()
  process.on('SIGCHLD', lookSoon)
}

function lookSoon(): void {
  if (isLooking) return
  isLooking = true
  setTimeout(look, INTERVAL).unref()
}

/** Children that Node.js has started it takes notice of itself, so that those which had ended before are orphans. */
function look(): void {
  isLooking = false
  const found = children().filter(hasEnded)
  const orphans = found.filter((pid) => ended.has(pid))
  ended = new Set(found.filter((pid) => !(orphans.includes(pid) && reap(pid))))
  if (ended.size > 0) lookSoon()
}

/** The processes whose parent this is; none where the kernel does not list them. */
function children(): number[] {
  const threads = '/proc/self/task'
  try {
    const lists = readdirSync(threads).map((thread) => readFileSync(`${threads}/${thread}/children`, 'latin1'))
    return lists.flatMap((list) => list.split(' ').filter(Boolean).map(Number))
  } catch {
    return []
  }
}

function hasEnded(pid: number): boolean {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1')
    return text.slice(text.lastIndexOf(')') + 2).startsWith('Z')
  } catch {
    return false
  }
}
