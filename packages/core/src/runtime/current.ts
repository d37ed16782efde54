import { AsyncLocalStorage } from 'node:async_hooks'
import { InvalidInputError } from '../common/errors.js'
import type { Runtime } from './runtime.js'

// Which cluster the code of this process is in.

let current: Runtime | undefined

/** Makes a runtime the one that this process's spawns and handles go through. */
export function enter(runtime: Runtime): void {
  current = runtime
  for (const act of entering.values()) act(runtime)
}

/** A runtime has left its cluster. */
export function leave(runtime: Runtime): void {
  if (current === runtime) current = undefined
}

const entering = new Map<string, (runtime: Runtime) => void>()

/** Does something in every cluster that this process joins, and in the one it is in. */
export function onEnter(key: string, act: (runtime: Runtime) => void): void {
  if (entering.has(key)) return
  entering.set(key, act)
  if (current) act(current)
}

/** The runtimes of local actors: what their code does goes through theirs, not through that of the process. */
const scopes = new AsyncLocalStorage<{ runtime: Runtime | undefined }>()

/** Runs a function, all that it starts, and all that becomes of that, in the runtime that it enters. */
export function inRuntime<T>(run: (enter: (runtime: Runtime) => void) => T): T {
  const scope: { runtime: Runtime | undefined } = { runtime: undefined }
  const enter = (runtime: Runtime) => {
    scope.runtime = runtime
  }
  return scopes.run(scope, () => run(enter))
}

export function runtimeOrNone(): Runtime | undefined {
  const scope = scopes.getStore()
  return scope ? scope.runtime : current
}

/** @throws InvalidInputError if this process has not joined a cluster */
export function currentRuntime(): Runtime {
  const runtime = runtimeOrNone()
  if (!runtime) throw new InvalidInputError('this process is in no cluster; call connect() first')
  return runtime
}
