import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { actor, currentActor } from '@troupe/core'

const SLEEP = ['sleep', '300'] as const

/** An actor that starts processes which would outlive it. */
export class Parent {
  /** Starts one of each kind, and gives their process ids. */
  async start(): Promise<Record<string, number>> {
    const shell = spawn('sh', ['-c', 'sleep 300 & echo $!; wait'], { stdio: ['ignore', 'pipe', 'ignore'] })
    const [grandchild] = await once(createInterface({ input: shell.stdout }), 'line')
    const [command, ...args] = SLEEP
    const kinds = {
      plain: spawn(command, args, { stdio: 'ignore' }),
      inheriting: spawn(command, args, { stdio: 'inherit' }),
      detached: spawn(command, args, { stdio: 'ignore', detached: true }),
      'with another environment': spawn(command, args, { stdio: 'ignore', env: { PATH: process.env.PATH } }),
      shell,
    }
    const pids = Object.entries(kinds).map(([kind, { pid }]) => [kind, pid!] as const)
    return { ...Object.fromEntries(pids), grandchild: Number(grandchild) }
  }

  /** Starts one that says it is not to end with the actor, as a daemon has to. */
  daemon(): number {
    const { TROUPE_WORKER: _, TROUPE_NODE: __, ...env } = process.env
    const child = spawn(SLEEP[0], [SLEEP[1]], { stdio: 'ignore', detached: true, env })
    child.unref()
    return child.pid!
  }

  exit(): void {
    process.exit(0)
  }

  fail(): void {
    setImmediate(() => {
      throw new Error('thrown outside of a call')
    })
  }

  node(): string {
    return currentActor()!.nodeId
  }
}
export const RemoteParent = actor(import.meta.url, Parent)
