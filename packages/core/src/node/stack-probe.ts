import type { ChildProcess } from 'node:child_process'
import { createRequire } from 'node:module'
import type { Stack } from '../protocol/listing.js'

/**
 * Flags of a process whose stack can be read: SIGUSR1 makes it open an inspector on a free port of this host, at an address
 * with a random id that only its stderr tells.
 */
export const STACK_FLAGS = ['--inspect-port=127.0.0.1:0', '--inspect-publish-uid=stderr']

/** Milliseconds that the main thread has to let the inspector in; one that is short of CPU needs some. */
const PATIENCE = 10_000

const require = createRequire(import.meta.url)

const URL_NAME = 'troupe-stack'
const READ = `(() => {
  const { stackTraceLimit } = Error
  Error.stackTraceLimit = 200
  const { stack } = new Error()
  Error.stackTraceLimit = stackTraceLimit
  return stack
})()
//# sourceURL=${URL_NAME}`
/**
 * The signal opens the inspector twice: it interrupts what runs, and once that is over wakes the event loop. The inspector
 * that the second opens is closed in the same turn, or in the next.
 */
const CLOSE = `(() => {
  const { close } = process.getBuiltinModule('node:inspector')
  const { setImmediate } = process.getBuiltinModule('node:timers')
  setImmediate(() => {
    close()
    setImmediate(close)
  })
  close()
})()`

const LISTENING = /Debugger listening on (ws:\S+)$/
const OWN_LINES =
  /(Debugger (listening|ending) on ws:\S+|Debugger attached\.|For help, see: https:\/\/nodejs\.org\/\S+|Waiting for the debugger to disconnect\S*)$/

/**
 * Reads the JavaScript stack of a process's main thread, also while that runs an endless loop. The inspector interrupts it for
 * one expression and is closed at once: a reading is over when it is closed.
 */
export class StackProbe {
  readonly #child: ChildProcess
  #reading: Promise<Stack> | undefined
  #found: Stack | undefined
  /** Goes on with the reading when the inspector has been visited. */
  #visited: () => void = () => {}
  #isUsed = false

  constructor(child: ChildProcess) {
    this.#child = child
  }

  read(): Promise<Stack> {
    this.#isUsed = true
    this.#reading ??= this.#read().finally(() => {
      this.#reading = undefined
    })
    return this.#reading
  }

  /** The part of a line of the process's stderr that is its own, and not the inspector's; undefined if nothing is. */
  ownPart(line: string): string | undefined {
    if (!this.#isUsed || !OWN_LINES.test(line)) return line
    const [, url] = LISTENING.exec(line) ?? []
    // Also when it comes too late to be of use: the port must not stay open.
    if (url) this.#visit(url)
    return line.replace(OWN_LINES, '') || undefined
  }

  async #read(): Promise<Stack> {
    this.#found = undefined
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, PATIENCE)
      this.#visited = () => {
        // The inspector may have been closed after the last reading, before it could be visited.
        if (!this.#found) this.#child.kill('SIGUSR1')
        else {
          clearTimeout(timer)
          resolve()
        }
      }
      this.#child.kill('SIGUSR1')
    })
    this.#visited = () => {}
    return this.#found ?? { state: 'blocked', frames: [] }
  }

  #visit(url: string): void {
    // Few processes are ever asked.
    const { WebSocket } = require('ws') as typeof import('ws')
    const socket = new WebSocket(url)
    const evaluate = (id: number, expression: string) => {
      socket.send(JSON.stringify({ id, method: 'Runtime.evaluate', params: { expression } }))
    }
    socket.on('error', () => {})
    socket.on('open', () => {
      evaluate(1, READ)
      evaluate(2, CLOSE)
    })
    socket.on('message', (data: unknown) => {
      const { id, result } = JSON.parse(String(data))
      if (id === 1) this.#found = stackOf(String(result?.result?.value))
    })
    socket.on('close', () => this.#visited())
  }
}

function stackOf(text: string): Stack {
  const lines = text.split('\n').map((line) => line.trim())
  const frames = lines.filter((line) => line.startsWith('at ') && !line.includes(URL_NAME)).map((line) => line.slice(3))
  return { state: frames.length > 0 ? 'running' : 'idle', frames }
}
