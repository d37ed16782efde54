import { appendFileSync, readFileSync } from 'node:fs'
import { currentCall, remote } from '@troupe/core'

export function square(x: number): number {
  return x * x
}
export const remoteSquare = remote(import.meta.url, square)

/** Sums the numbers below a limit through tasks of its own, a level a halving. */
export async function sumBelow(from: number, to: number): Promise<number> {
  if (to - from === 1) return from
  const middle = Math.floor((from + to) / 2)
  const [left, right] = await Promise.all([remoteSumBelow(from, middle), remoteSumBelow(middle, to)])
  return left + right
}
export const remoteSumBelow = remote(import.meta.url, sumBelow)

export function divide(dividend: number, divisor: number): [number, number] {
  return [Math.floor(dividend / divisor), dividend % divisor]
}
export const remoteDivide = remote(import.meta.url, divide)

export async function* letters(text: string): AsyncGenerator<string> {
  yield* text
}
export const remoteLetters = remote(import.meta.url, letters)

/** Notes that it ran, and fails the first times: by an exit of its process, or by an error. */
export function failing(file: string, how: 'exit' | 'throw', times: number): number {
  appendFileSync(file, 'ran\n')
  const runs = readFileSync(file, 'utf8').split('\n').length - 1
  if (runs > times) return runs
  if (how === 'exit') process.exit(7)
  throw new RangeError(`run ${runs}`)
}
export const remoteFailing = remote(import.meta.url, failing)

export async function untilCancelled(file: string, label: string): Promise<void> {
  const { signal } = currentCall()!
  appendFileSync(file, `${label} began\n`)
  if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve))
  appendFileSync(file, `${label} aborted\n`)
}
export const remoteUntilCancelled = remote(import.meta.url, untilCancelled)

export function whereAmI(): { pid: number; gpus: string | undefined; title: string } {
  return { pid: process.pid, gpus: process.env.CUDA_VISIBLE_DEVICES, title: process.title }
}
export const remoteWhereAmI = remote(import.meta.url, whereAmI)
