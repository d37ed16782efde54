import type { ChildProcess } from 'node:child_process'
import { WebSocket } from 'ws'
import type { Stack } from './protocol.js'

/**
 * Flags of a process whose stack can be read: SIGUSR1 makes it open an inspector on a free port of this host, at an address
 * with a random id that only its stderr tells.
 */
export const STACK_FLAGS = ['--inspect-port=127.0.0.1:0', '--inspect-publish-uid=stderr']

/** Milliseconds that the main thread has to let the inspector in. */
const PATIENCE = 3000
/** Milliseconds after which it is asked again. */
const ASK_AGAIN = 300

const URL_NAME = 'troupe-stack'
const READ = `(() => {
  const { stackTraceLimit } = Error
  Error.stackTraceLimit = 200
  const { stack } = new Error()
  Error.stackTraceLimit = stackTraceLimit
  return stack
})()
//# sourceURL=${URL_NAME}`
const CLOSE = "process.getBuiltinModule('node:inspector').close()"

const OWN_LINES =
  /^(Debugger (listening|ending) on ws:|Debugger attached\.$|For help, see: https:\/\/nodejs\.org\/\S+$|Waiting for the debugger to disconnect)/

/**
 * Reads the JavaScript stack of a process's main thread, also while that runs an endless loop. The inspector interrupts it for
 * one expression and is closed at once.
 */
export class StackProbe {
  readonly #child: ChildProcess
  #reading: Promise<Stack> | undefined
  #found: (stack: Stack) => void = () => {}
  #isUsed = false

  constructor(child: ChildProcess) {
    this.#child = child
  }

  read(): Promise<Stack> {
    this.#isUsed = true
    this.#reading ??= new Promise<Stack>((resolve) => {
      const timer = setTimeout(() => this.#found({ state: 'blocked', frames: [] }), PATIENCE)
      // A process that is still closing the inspector of the last reading takes no notice of the signal.
      const asking = setInterval(() => this.#child.kill('SIGUSR1'), ASK_AGAIN)
      this.#found = (stack) => {
        clearTimeout(timer)
        clearInterval(asking)
        this.#reading = undefined
        resolve(stack)
      }
      this.#child.kill('SIGUSR1')
    })
    return this.#reading
  }

  /** Whether a line of the process's stderr is the inspector's and not its own. */
  takes(line: string): boolean {
    if (!this.#isUsed || !OWN_LINES.test(line)) return false
    const [url] = /(?<=^Debugger listening on )ws:\S+/.exec(line) ?? []
    // Also when it comes too late to be of use: the port must not stay open.
    if (url) this.#visit(url)
    return true
  }

  #visit(url: string): void {
    const socket = new WebSocket(url)
    const evaluate = (id: number, expression: string) => {
      socket.send(JSON.stringify({ id, method: 'Runtime.evaluate', params: { expression } }))
    }
    socket.on('error', () => {})
    socket.on('open', () => {
      evaluate(1, READ)
      evaluate(2, CLOSE)
    })
    socket.on('message', (data) => {
      const { id, result } = JSON.parse(String(data))
      if (id === 1) this.#found(stackOf(String(result?.result?.value)))
    })
  }
}

function stackOf(text: string): Stack {
  const lines = text.split('\n').map((line) => line.trim())
  const frames = lines.filter((line) => line.startsWith('at ') && !line.includes(URL_NAME)).map((line) => line.slice(3))
  return { state: frames.length > 0 ? 'running' : 'idle', frames }
}
