import { setFlagsFromString } from 'node:v8'

/**
 * Puts off the optimising compiler in a process of a cluster. The V8 of Node.js 20 compiles a function anew after some hundred
 * calls. In a process that has just started and makes or serves short calls that work, on other cores, is much more than the
 * calls, and it takes the cores from those who wait for them. Code that is truly hot reaches the higher mark some milliseconds
 * later. Later versions count calls instead, compile in a cheaper step first, and do not know the flag.
 */
export function tune(): void {
  if (process.versions.node.startsWith('20.')) setFlagsFromString('--interrupt-budget=250000')
}
