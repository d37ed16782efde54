import { parentPort, workerData } from 'node:worker_threads'
import { HEADER, type MaskReply, type MaskRequest, type MaskThreadData, STATE } from './mask-protocol.js'
import { matcherLibrary } from './matcher-library.js'

type Library = ReturnType<typeof matcherLibrary>
type CompiledGrammar = import('@mlc-ai/web-xgrammar').CompiledGrammar

const { ebnf, tokens, endTokens, memory } = workerData as MaskThreadData
const PAGE = 65_536

interface Text {
  matcher: import('@mlc-ai/web-xgrammar').GrammarMatcher
  header: Int32Array
  mask: Int32Array
}

let said = ''
console.error = (...words: unknown[]) => {
  said += `${words.join(' ')}\n`
}
process.removeAllListeners('warning')

interface Memory {
  readonly buffer: ArrayBuffer
  grow(pages: number): number
}

const { prototype } = (globalThis as unknown as { WebAssembly: { Memory: { prototype: Memory } } }).WebAssembly.Memory
const { grow } = prototype
prototype.grow = function (this: Memory, pages: number): number {
  if (this.buffer.byteLength + pages * PAGE > memory) throw new RangeError('too much memory')
  return grow.call(this, pages)
}

function reply(reply: MaskReply): void {
  parentPort!.postMessage(reply)
}

/** The library's complaint without where in its sources it is from. */
function problemOf(error: unknown): string {
  const told = /\] \S+:\d+: ([^\n]*)/.exec(said)?.[1]
  return told ?? String((error as Error)?.message ?? error)
}

const texts = new Map<number, Text>()

/** Takes a step of a text, and tells what may come next. */
async function step({ header, matcher, mask }: Text, accept: () => boolean): Promise<void> {
  let state: number = STATE.refused
  try {
    if (accept()) {
      state = matcher.isTerminated() ? STATE.ended : STATE.open
      if (state === STATE.open) mask.set((await matcher.getNextTokenBitmask()).subarray(0, mask.length))
      else mask.fill(0)
    }
  } catch (error) {
    state = STATE.failed
    reply({ kind: 'failed', problem: problemOf(error) })
  }
  Atomics.store(header, HEADER.state, state)
  Atomics.add(header, HEADER.steps, 1)
  Atomics.notify(header, HEADER.steps)
}

async function handle(library: Library, compiled: CompiledGrammar, request: MaskRequest): Promise<void> {
  if (request.kind === 'open') {
    const header = new Int32Array(request.shared, 0, HEADER.length)
    const mask = new Int32Array(request.shared, header.byteLength)
    const text = { header, mask, matcher: await library.GrammarMatcher.createGrammarMatcher(compiled) }
    texts.set(request.text, text)
    return step(text, () => true)
  }
  const text = texts.get(request.text)
  if (!text) return
  if (request.kind === 'accept') return step(text, () => text.matcher.acceptToken(request.token))
  texts.delete(request.text)
  text.matcher.dispose()
}

try {
  const library = matcherLibrary()
  const info = await library.TokenizerInfo.createTokenizerInfo([...tokens], 'raw', false, tokens.length, [...endTokens])
  const compiler = await library.GrammarCompiler.createGrammarCompiler(info, false)
  const compiled = await compiler.compileGrammar(ebnf)
  let last = Promise.resolve()
  parentPort!.on('message', (request: MaskRequest) => {
    last = last
      .then(() => handle(library, compiled, request))
      .catch((error) => reply({ kind: 'failed', problem: problemOf(error) }))
  })
  reply({ kind: 'ready' })
} catch (error) {
  reply({ kind: 'failed', problem: problemOf(error) })
}
