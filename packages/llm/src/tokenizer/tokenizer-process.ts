import { type ChildProcess, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { Answer, Reply, Request } from './tokenizer-protocol.js'

const main = fileURLToPath(new URL('./tokenizer-main.js', import.meta.url))
const KEPT_OUTPUT = 4096
/** All that it is told of its surroundings, for it reads files that others wrote. */
const ENVIRONMENT = ['PATH', 'LD_LIBRARY_PATH', 'DYLD_LIBRARY_PATH', 'SystemRoot', 'NAPI_RS_NATIVE_LIBRARY_PATH']

/**
 * The process in which texts are cut. The Rust library ends its process on some damaged tokenizers and some texts, so it
 * is kept apart from the caller's: the request that ended it fails, and the next one starts another.
 */
class TokenizerProcess {
  #child: ChildProcess | undefined
  #output = ''
  #last: Promise<unknown> = Promise.resolve()
  #loaded = new Set<number>()

  /** Asks a tokenizer; it is loaded first where this process does not have it yet. */
  ask<K extends keyof Answer>(tokenizer: number, json: string, request: Request<K>): Promise<Answer[K]> {
    return this.#inTurn(async () => {
      if (!this.#loaded.has(tokenizer)) {
        await this.#send({ kind: 'load', tokenizer, json })
        this.#loaded.add(tokenizer)
      }
      return (await this.#send({ ...request, tokenizer })) as Answer[K]
    })
  }

  /** Lets go of a tokenizer that nothing refers to any more. */
  forget(tokenizer: number): void {
    this.#inTurn(async () => {
      if (this.#loaded.delete(tokenizer)) await this.#send({ kind: 'forget', tokenizer })
    }).catch(() => {})
  }

  /** One request at a time, so that it is known which one ended the process. */
  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#last.then(work)
    this.#last = result.catch(() => {})
    return result
  }

  async #send(request: object): Promise<unknown> {
    const child = this.#started()
    hold(child)
    try {
      return await this.#reply(child, request)
    } finally {
      release(child)
    }
  }

  #reply(child: ChildProcess, request: object): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const settle = (outcome: () => void) => {
        child.off('message', onMessage)
        child.off('error', onError)
        child.off('close', onClose)
        outcome()
      }
      const onMessage = (reply: Reply) =>
        settle(() => ('error' in reply ? reject(new Error(reply.error)) : resolve(reply.value)))
      const onError = (error: Error) => {
        this.#drop(child)
        child.kill('SIGKILL')
        settle(() => reject(error))
      }
      const onClose = (code: number | null, signal: string | null) => {
        this.#drop(child)
        settle(() => reject(new Error(`the tokenizers library gave up: ${this.#reason(code, signal)}`)))
      }
      child.on('message', onMessage)
      child.on('error', onError)
      child.on('close', onClose)
      child.send(request, (error) => error && child.exitCode === null && child.signalCode === null && onError(error))
    })
  }

  #started(): ChildProcess {
    if (this.#child) return this.#child
    const child = fork(main, [], {
      execArgv: [],
      env: Object.fromEntries(ENVIRONMENT.map((name) => [name, process.env[name]])),
      serialization: 'advanced',
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    })
    this.#output = ''
    this.#loaded.clear()
    child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.#output = (this.#output + text).slice(0, KEPT_OUTPUT)
    })
    child.once('close', () => this.#drop(child))
    // An error that comes while no request waits shows itself to the next one.
    child.on('error', () => {})
    this.#child = child
    return child
  }

  #drop(child: ChildProcess): void {
    if (this.#child !== child) return
    this.#child = undefined
    this.#loaded.clear()
  }

  /** The message of a Rust panic, which follows the line that says where it was. */
  #reason(code: number | null, signal: string | null): string {
    const panic = /panicked at [^\n]*\n([^\n]*)/.exec(this.#output)
    return panic?.[1] ?? `its process ended with ${signal ?? `status ${code}`}`
  }
}

/** While it is asked nothing, the process does not keep its parent alive; it ends when its parent does. */
function release(child: ChildProcess): void {
  child.unref()
  child.channel?.unref()
  ;(child.stderr as { unref?(): void } | null)?.unref?.()
}

function hold(child: ChildProcess): void {
  child.ref()
  child.channel?.ref()
  ;(child.stderr as { ref?(): void } | null)?.ref?.()
}

export const tokenizerProcess = new TokenizerProcess()
