import { createInterface, type Interface } from 'node:readline'
import { type Readable, Writable } from 'node:stream'
import type { LineHistory } from './line-history.js'

/** Where lines come from, and where what is typed is shown. */
export interface Terminal {
  input: Readable
  output: Writable & { columns?: number }
  isTerminal: boolean
}

/** Reads a user's lines. On a terminal they can be edited and called back, and what is typed while nobody asks for a line is not shown. */
export class LineReader {
  readonly #lines: string[] = []
  readonly #interface: Interface
  #waiting: ((line: string | undefined) => void) | undefined
  #isOver = false

  /** @param onInterrupt Is told of Ctrl-C; gives whether that ended something. */
  constructor(
    private readonly terminal: Terminal,
    private readonly history: LineHistory | undefined,
    onInterrupt: () => boolean,
  ) {
    const { input, output, isTerminal } = terminal
    this.#interface = createInterface({
      ...{ input, terminal: isTerminal, crlfDelay: Number.POSITIVE_INFINITY },
      ...(isTerminal ? { output: this.#echo(output), history: (history?.lines ?? []).toReversed() } : {}),
    })
    this.#interface.on('line', (line) => this.#take(line))
    this.#interface.on('close', () => {
      this.#isOver = true
      this.#waiting?.(undefined)
    })
    this.#interface.on('SIGINT', () => {
      if (onInterrupt()) return
      output.write('\n(Ctrl-D or /exit ends)\n')
      this.#interface.write(null, { ctrl: true, name: 'u' })
      this.#interface.prompt()
    })
  }

  /** The next line, or undefined when there is none any more. */
  next(prompt: string): Promise<string | undefined> {
    const line = this.#lines.shift()
    if (line !== undefined || this.#isOver) return Promise.resolve(line)
    return new Promise((resolve) => {
      this.#waiting = (line) => {
        this.#waiting = undefined
        resolve(line)
      }
      if (!this.terminal.isTerminal) return
      this.#interface.setPrompt(prompt)
      this.#interface.prompt(true)
    })
  }

  close(): void {
    this.#interface.close()
  }

  #take(line: string): void {
    this.history?.add(line)
    if (this.#waiting) this.#waiting(line)
    else this.#lines.push(line)
  }

  /** Shows what is typed where a line is waited for. */
  #echo(output: Terminal['output']): Writable {
    const echo = new Writable({
      decodeStrings: false,
      write: (chunk, encoding, done) => {
        if (this.#waiting || this.#isOver) output.write(chunk, encoding)
        done()
      },
    })
    return Object.defineProperty(echo, 'columns', { get: () => output.columns ?? 80 })
  }
}
