import { setTimeout as delay, setImmediate as nextTurn } from 'node:timers/promises'
import { collectGarbage } from '../common/collect-garbage.js'
import { nodeStore } from '../store/store.js'
import type { Runtime } from './runtime.js'

/** Milliseconds between two rounds in which the processes of a node are asked to collect garbage. */
const ROUND_INTERVAL = 250

let collecting: Promise<void> | undefined
/** A process spends no more than half of its time on this. */
let restUntil = 0

/** Collects garbage, and resolves when what was collected has been given back to the store. */
export function collectNow(): Promise<void> {
  collecting ??= collectRested().finally(() => {
    collecting = undefined
  })
  return collecting
}

async function collectRested(): Promise<void> {
  await delay(restUntil - performance.now())
  const start = performance.now()
  collectGarbage()
  // The memory of arrays that were found is freed beside JavaScript, at the latest when the next collection begins.
  await turns(1)
  collectGarbage()
  restUntil = 2 * performance.now() - start
  // Native code releases what it holds for them a little later.
  await turns(3)
}

interface Round {
  readonly done: Promise<void>
  next: Promise<void> | undefined
}

const rounds = new WeakMap<Runtime, Round>()
const lastRounds = new WeakMap<Runtime, number>()

/**
 * Has every process of this node that holds something in its store collect garbage: one that is idle would not do so by
 * itself, whatever it has mapped and uses no more. Resolves when a round that began after the call has ended, or has taken
 * too long.
 */
export function reclaimStore(runtime: Runtime): Promise<void> {
  const running = rounds.get(runtime)
  if (!running) return begin(runtime)
  running.next ??= running.done.then(() => begin(runtime))
  return running.next
}

/** The same, unless that was done a moment ago. */
export async function reclaimAgain(runtime: Runtime): Promise<void> {
  if (performance.now() >= (lastRounds.get(runtime) ?? 0) + ROUND_INTERVAL) await reclaimStore(runtime)
}

function begin(runtime: Runtime): Promise<void> {
  const holders = (nodeStore()?.usage ?? []).filter(({ objects }) => objects > 0).map(({ pid }) => pid)
  const done = Promise.all([collectNow(), runtime.head.reclaim(holders).catch(() => {})]).then(() => {
    lastRounds.set(runtime, performance.now())
    rounds.delete(runtime)
  })
  rounds.set(runtime, { done, next: undefined })
  return done
}

async function turns(count: number): Promise<void> {
  for (; count > 0; count--) await nextTurn()
}
