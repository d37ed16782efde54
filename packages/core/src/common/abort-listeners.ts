/** Functions to call when a signal is aborted. A signal has one listener however many calls are made with it. */
const listeners = new WeakMap<AbortSignal, Set<() => void>>()

/** Calls a function when a signal is aborted. Returns a function that calls that off. */
export function onAbort(signal: AbortSignal, act: () => void): () => void {
  let acts = listeners.get(signal)
  if (!acts) {
    const made = new Set<() => void>()
    acts = made
    listeners.set(signal, made)
    const aborted = () => {
      listeners.delete(signal)
      for (const one of made) one()
    }
    signal.addEventListener('abort', aborted, { once: true })
    forget.set(made, () => signal.removeEventListener('abort', aborted))
  }
  acts.add(act)
  return () => {
    acts.delete(act)
    if (acts.size > 0 || listeners.get(signal) !== acts) return
    listeners.delete(signal)
    forget.get(acts)?.()
  }
}

/** Takes the listener of a signal off. */
const forget = new WeakMap<Set<() => void>, () => void>()
