import { type ChildProcess, spawn } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { setTimeout as delay, setImmediate as nextTurn } from 'node:timers/promises'
import { adoptOrphans, reap } from '@troupe/native'

/** Marks what a worker starts, and what that starts, with the worker. */
export const WORKER_VARIABLE = 'TROUPE_WORKER'
/** Marks all that runs on a node. */
export const NODE_VARIABLE = 'TROUPE_NODE'

/** Processes that are looked at before others get their turn. */
const LOOKED_AT_ONCE = 64
/** Times that all processes are looked at, as those that are found may be starting others. */
const MOST_LOOKS = 20
/** Times, and milliseconds between them, that it is looked whether what was killed has ended. */
const MOST_WAITS = 100
const WAIT = 10

/**
 * Ends what the workers of a node have started, when they end and however: the mark is in the environment that they pass on.
 * A process with another environment and in a session of its own is left alone.
 */
export class Descendants {
  readonly #marks = new Set<string>()
  /** Process ids, and those of groups with a minus, that were killed. */
  readonly #killed = new Set<number>()
  #looking: Promise<void> | undefined

  constructor() {
    // An ended process is listed until its parent takes notice, and the first process of a container may never do so.
    adoptOrphans()
  }

  /**
   * Kills what a worker that has ended had started. One look is for all that end together.
   *
   * @param pid of its process, whose group is killed too; undefined for a thread
   */
  async end(processId: string, pid?: number): Promise<void> {
    if (pid !== undefined && kill(-pid)) this.#killed.add(-pid)
    this.#marks.add(processId)
    this.#looking ??= nextTurn().then(() => this.#look())
    await this.#looking
  }

  async #look(): Promise<void> {
    const ended = new Set(this.#marks)
    this.#marks.clear()
    this.#looking = undefined
    const isEnded = (environment: string) => ended.has(entryOf(environment, WORKER_VARIABLE) ?? '')
    for (let left = MOST_LOOKS; left > 0; left--) {
      const killed = await killWhere(isEnded)
      if (killed.length === 0) break
      for (const pid of killed) this.#killed.add(pid)
    }
    await this.#reap()
  }

  /** Waits a moment for what was killed to end. */
  async #reap(): Promise<void> {
    const killed = [...this.#killed]
    this.#killed.clear()
    for (let left = MOST_WAITS; left > 0; left--) {
      for (const pid of killed) while (reap(pid));
      if (!killed.some(isThere)) return
      await delay(WAIT)
    }
  }
}

async function killWhere(isToEnd: (environment: string) => boolean): Promise<number[]> {
  const killed: number[] = []
  for (const [index, name] of readdirSync('/proc').entries()) {
    const pid = Number(name)
    if (Number.isNaN(pid) || pid === process.pid) continue
    if (index % LOOKED_AT_ONCE === 0) await nextTurn()
    if (isToEnd(environmentOf(pid)) && kill(pid)) killed.push(pid)
  }
  return killed
}

/** Empty for a process that has ended, or is another user's. */
function environmentOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'latin1')
  } catch {
    return ''
  }
}

function entryOf(environment: string, name: string): string | undefined {
  return environment
    .split('\0')
    .find((entry) => entry.startsWith(`${name}=`))
    ?.slice(name.length + 1)
}

function kill(pid: number): boolean {
  return signal(pid, 'SIGKILL')
}

function isThere(pid: number): boolean {
  return signal(pid, 0)
}

function signal(pid: number, signal: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(pid, signal)
  } catch {
    return false
  }
}

/** Waits until its input ends, which it does with the node, and then kills all that carries the mark. */
const GUARD = `
trap '' HUP INT TERM
while read -r _; do :; done
looks=0
while [ $looks -lt ${MOST_LOOKS} ]; do
  found=$(grep -lF "$1" /proc/[0-9]*/environ 2>/dev/null)
  [ -n "$found" ] || break
  for file in $found; do pid=\${file#/proc/}; kill -9 "\${pid%/environ}" 2>/dev/null; done
  looks=$((looks + 1))
done`

/** A process that outlives its node by a moment, however that ends, and ends all that ran on it. */
export class NodeGuard {
  readonly #child: ChildProcess

  constructor(nodeId: string) {
    const { PATH = '/usr/bin:/bin' } = process.env
    const script = ['-c', GUARD, 'troupe-guard', `${NODE_VARIABLE}=${nodeId}`]
    this.#child = spawn('sh', script, { detached: true, cwd: '/', stdio: ['pipe', 'ignore', 'ignore'], env: { PATH } })
    // Without a shell, or when no process can be started, what a node's actors have started outlives a kill -9 of it.
    this.#child.on('error', () => {})
    this.#child.stdin?.on('error', () => {})
    this.#child.unref()
    ;(this.#child.stdin as { unref?(): void } | null)?.unref?.()
  }

  /** The node has ended all of it itself. */
  dismiss(): void {
    this.#child.kill('SIGKILL')
  }
}
