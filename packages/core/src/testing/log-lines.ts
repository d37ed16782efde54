import type { ExecutionContext } from 'ava'

/** Lines that are kept. */
const MOST_LINES = 1000

/** Lines that a cluster writes, which are shown only with a test that fails. */
export class LogLines {
  readonly #lines: string[] = []

  readonly add = (line: string): void => {
    if (this.#lines.push(line) > MOST_LINES) this.#lines.shift()
  }

  showIfFailed(t: ExecutionContext): void {
    if (!t.passed) for (const line of this.#lines.splice(0)) t.log(line)
  }
}

/** What `connect({ onLog })` takes so that what a test's actors write is only shown if the test fails. */
export function logOf(t: ExecutionContext): (line: string) => void {
  const lines = new LogLines()
  t.teardown(() => lines.showIfFailed(t))
  return lines.add
}
