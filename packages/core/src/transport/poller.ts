import { RingPoller } from '@troupe/native'

/**
 * Milliseconds after a message in which the next one is looked out for. To sleep and be woken costs two processes some 60
 * microseconds together, more than all the rest of a small call.
 */
const WATCH = 0.2
/** Microseconds of looking out before the event loop has its turn. */
const TURN = 40

/** What can be looked at for something new. */
export interface Polled {
  /** Has a ring poller tell when there is something new, until the returned function is called. */
  watchedBy(ringPoller: RingPoller): () => void
  /** Takes what is new, and returns whether that was anything. */
  poll(): boolean
  /** Asks to be woken from now on, and returns true, unless there is something new already. */
  sleep(): boolean
  /** Needs not be woken any more. */
  rise(): void
}

/** Says what happens on one pipe. */
export interface Watching {
  /** Something was sent; `isBlocked` where not all of it fitted. */
  active(isBlocked: boolean): void
  /** The other end says that there is something new. */
  woken(): void
  end(): void
}

const pipes = new Set<Polled>()
const ringPoller = new RingPoller()
let isWatching = false
/** How long is watched: not at all after messages that were far between. */
let watchFor = 0
let lastActivity = 0
let watchUntil = 0

/** Looks after a pipe until it has ended. */
export function watch(pipe: Polled): Watching {
  pipes.add(pipe)
  const unwatch = pipe.watchedBy(ringPoller)
  if (!isWatching && !pipe.sleep()) begin()
  return {
    active(isBlocked) {
      noteActivity(performance.now())
      if (watchFor > 0 || isBlocked) begin()
    },
    woken() {
      const now = performance.now()
      watchFor = now - lastActivity < 2 * WATCH ? WATCH : 0
      if (pipes.has(pipe)) pipe.poll()
      noteActivity(now)
      begin()
    },
    end() {
      if (pipes.delete(pipe)) unwatch()
    },
  }
}

function noteActivity(now: number): void {
  lastActivity = now
  watchUntil = now + watchFor
}

function begin(): void {
  if (isWatching) return
  isWatching = true
  for (const pipe of pipes) pipe.rise()
  setImmediate(look)
}

function look(): void {
  if (pollAll() || (watchFor > 0 && ringPoller.poll(TURN) && pollAll())) noteActivity(performance.now())
  if (performance.now() < watchUntil || !allAsleep()) setImmediate(look)
  else isWatching = false
}

function pollAll(): boolean {
  let isNew = false
  for (const pipe of pipes) isNew = pipe.poll() || isNew
  return isNew
}

function allAsleep(): boolean {
  for (const pipe of pipes) {
    if (pipe.sleep()) continue
    for (const other of pipes) other.rise()
    return false
  }
  return true
}
