import { inspect } from 'node:util'
import { MAX_PENDING_CALLS } from '../api/spawn-options.js'
import { type Message, messageOf } from '../channel/message.js'
import { ActorDiedError, GraphClosedError, InvalidInputError, QueueFullError } from '../common/errors.js'
import type { ActorClient } from '../runtime/actor-client.js'
import { addOrigin, callerOf } from '../runtime/call.js'
import { checkCount } from '../runtime/call-options.js'
import { currentRuntime } from '../runtime/current.js'
import type { ObjectRef } from '../runtime/ref.js'
import type { Runtime } from '../runtime/runtime.js'
import { type ChromeTrace, chromeTrace } from './chrome-trace.js'
import { Execution, type ExecutionOwner } from './execution.js'
import { type InputOutlet, type Launched, launch, type Part } from './launch.js'
import { type GraphPlan, planOf } from './plan.js'
import type { StepRecord } from './protocol.js'
import { ResultPump, type ResultTaker, type Source } from './result-pump.js'
import { GraphTrace } from './trace.js'
import { drawSvg, drawText } from './visualize.js'

/** Options of compiling a graph. */
export interface GraphOptions {
  /** Executions that are under way at a time; further ones wait in this process. 16 by default. */
  readonly maxInFlight?: number
}

/** The result of an execution of a function's graph: the values in place of the refs. */
export type GraphResult<R> =
  R extends ObjectRef<infer T>
    ? T
    : R extends readonly unknown[] | Readonly<Record<string, unknown>>
      ? { -readonly [K in keyof R]: GraphResult<R[K]> }
      : R

/** The inputs of one execution. */
export type GraphInputs<I extends readonly unknown[]> = {
  [K in keyof I]: I[K] extends ObjectRef<infer T> ? T : never
}

/** An item of a stream: the input, or the list of inputs where a graph has several. */
export type StreamItem<I extends readonly unknown[]> = I extends readonly [infer Only] ? Only : I

/**
 * Compiles calls of actors into a graph that is executed many times. The function is run once, with a stand-in for each
 * input: it says which methods get which values. Everything slow is done here, once: methods are looked up, channels of
 * shared memory are made between the processes (over TCP between nodes), and each actor's worker is given its steps. An
 * execution then writes its inputs into channels, and values go from actor to actor without this process.
 *
 * Steps take their turns with the actor's ordinary calls, as if the steps were calls too. A value that several steps need
 * is sent to each process once. A step whose value nobody needs runs nevertheless, before the execution counts as done.
 *
 * @throws InvalidInputError if the function makes no graph, two steps would wait for each other, or an actor lacks a method
 * @throws ActorDiedError if an actor has died
 * @example
 * ```ts
 * const pipeline = await graph((frame: ObjectRef<Frame>) => decoder.decode(encoder.encode(frame)))
 * console.log(await pipeline.execute(first))
 * for await (const picture of pipeline.stream(frames)) show(picture)
 * await pipeline.close()
 * ```
 *
 * Branches per coordinate of a mesh are an array: `graph((input: ObjectRef<Batch>) => mesh.members.map(({ handle }) =>
 * handle.forward(input)))`.
 */
export async function graph<I extends readonly ObjectRef<never>[] | readonly ObjectRef<unknown>[], R>(
  build: (...inputs: I) => R,
  { maxInFlight = 16 }: GraphOptions = {},
): Promise<Graph<GraphInputs<I>, GraphResult<R>>> {
  checkCount('maxInFlight', maxInFlight, 1)
  if (maxInFlight > 4096) throw new InvalidInputError(`maxInFlight must be at most 4096, found ${maxInFlight}`)
  const runtime = currentRuntime()
  const trace = new GraphTrace()
  const { inputs, result } = trace.run(build as unknown as (...inputs: never[]) => unknown)
  const plan = planOf(trace, inputs, result)
  const itself = plan.actors.find(({ record }) => record.id === runtime.actor?.identity.id)
  if (itself) {
    throw new InvalidInputError(
      `${itself.record.name} compiles this graph and cannot be part of it: it would wait for itself`,
    )
  }
  return (await Compiled.make(runtime, plan, maxInFlight)) as unknown as Graph<GraphInputs<I>, GraphResult<R>>
}

/** A compiled graph; made by {@link graph}. */
export interface Graph<I extends readonly unknown[], R> {
  /** The state of the graph: an actor that dies makes it `failed`. */
  readonly state: 'running' | 'failed' | 'closed'
  /** The reason why it has failed. */
  readonly failure: Error | undefined
  /**
   * Runs the graph once. Executions go through the actors in the order they are asked for, several at a time. One whose
   * step throws fails alone: its ref rejects with what the step threw.
   *
   * @throws InvalidInputError if an input cannot be sent or one is missing
   * @throws QueueFullError when 10,000 executions wait
   */
  execute(...inputs: I): ObjectRef<R>
  /**
   * Runs the graph for each item and gives the results in their order, with as many executions under way as the graph takes.
   * With several inputs an item is the list of them.
   *
   * @throws the failure of the first item that fails, in its place
   */
  stream(items: AsyncIterable<StreamItem<I>> | Iterable<StreamItem<I>>): AsyncGenerator<R, void, void>
  /** The steps and what goes between them, as text and as an SVG picture. */
  visualize(): { readonly text: string; readonly svg: string }
  /** Records what runs while a function does; the result, as JSON in a file, opens in Perfetto and chrome://tracing. */
  record(run: () => Promise<unknown>): Promise<ChromeTrace>
  /** Ends the graph: executions under way fail, the actors live on. */
  close(): Promise<void>
  /** Closes the graph. */
  [Symbol.asyncDispose](): Promise<void>
}

class Compiled implements Graph<unknown[], unknown>, ExecutionOwner, ResultTaker {
  state: 'running' | 'failed' | 'closed' = 'running'
  failure: Error | undefined
  /** The actor whose death has ended it. */
  #lost: ActorClient | undefined
  readonly #id: string
  readonly #runtime: Runtime
  readonly #plan: GraphPlan
  readonly #maxInFlight: number
  readonly #parts: readonly Part[]
  readonly #outlets: readonly InputOutlet[]
  readonly #outputs: number
  readonly #pump: ResultPump
  readonly #origin: Error | undefined
  /** Executions whose outputs have not all come; the first is number `#completed`. */
  readonly #executions: Execution[] = []
  #completed = 0
  #started = 0
  readonly #queued: { readonly execution: Execution; readonly messages: readonly Message[] }[] = []
  #records: StepRecord[] | undefined
  private constructor(
    runtime: Runtime,
    plan: GraphPlan,
    maxInFlight: number,
    { id, parts, outlets, sources }: Launched,
    origin: Error | undefined,
  ) {
    this.#id = id
    this.#runtime = runtime
    this.#plan = plan
    this.#maxInFlight = maxInFlight
    this.#parts = parts
    this.#outlets = outlets
    this.#outputs = sources.length
    this.#origin = origin
    this.#pump = new ResultPump(sources, this)
    for (const part of parts) {
      part.requests.attendGraph(id).then(
        () => this.#end('closed', new GraphClosedError(`the graph was ended by ${part.client.record.name}`)),
        (error) => void this.#partLost(part, error),
      )
    }
  }

  [inspect.custom](): string {
    return `Graph(${this.state})`
  }

  static async make(runtime: Runtime, plan: GraphPlan, maxInFlight: number): Promise<Compiled> {
    const origin = callerOf()
    return new Compiled(runtime, plan, maxInFlight, await launch(runtime, plan, maxInFlight), origin)
  }

  execute(...inputs: unknown[]): ObjectRef<unknown> {
    if (inputs.length !== this.#plan.inputs) {
      throw new InvalidInputError(`the graph takes ${this.#plan.inputs} inputs, found ${inputs.length}`)
    }
    const number = this.#started + this.#queued.length
    const start = this.#records ? performance.now() : 0
    const execution = new Execution(this, `${this.#id}:${number}`, this.#outputs, this.#plan.result, start)
    if (this.state !== 'running') {
      execution.fail(this.failure ?? new GraphClosedError('the graph was closed'))
      return execution.ref
    }
    if (this.#executions.length < this.#maxInFlight && this.#queued.length === 0) this.#start(execution, inputs)
    else this.#enqueue(execution, inputs)
    this.#pump.watch()
    return execution.ref
  }

  async *stream(items: AsyncIterable<unknown> | Iterable<unknown>): AsyncGenerator<unknown, void, void> {
    const window: ObjectRef<unknown>[] = []
    const iterator = Symbol.asyncIterator in items ? items[Symbol.asyncIterator]() : items[Symbol.iterator]()
    let next: Promise<IteratorResult<unknown>> | undefined
    let isDone = false
    const pull = () => {
      next ??= Promise.resolve(iterator.next())
      next.catch(() => {})
      return next
    }
    try {
      while (!isDone || window.length > 0) {
        if (!isDone && window.length < this.#maxInFlight) {
          // Results that are there already go out before the source is waited for.
          const item = window[0]
            ? await Promise.race([
                pull(),
                window[0].then(
                  () => 'result',
                  () => 'result',
                ),
              ])
            : await pull()
          if (typeof item === 'object') {
            next = undefined
            if (item.done) isDone = true
            else window.push(this.execute(...(this.#plan.inputs === 1 ? [item.value] : (item.value as unknown[]))))
            continue
          }
        }
        yield await window.shift()
      }
    } finally {
      if (!isDone) await iterator.return?.()
    }
  }

  visualize(): { text: string; svg: string } {
    return { text: drawText(this.#plan), svg: drawSvg(this.#plan) }
  }

  async record(run: () => Promise<unknown>): Promise<ChromeTrace> {
    if (this.#records) throw new InvalidInputError('the graph is being recorded already')
    const own: StepRecord[] = []
    this.#records = own
    await Promise.all(this.#parts.map(({ requests }) => requests.recordGraph(this.#id, true)))
    let records: (readonly StepRecord[])[]
    try {
      await run()
    } finally {
      this.#records = undefined
      records = await Promise.all(this.#parts.map(({ requests }) => requests.recordGraph(this.#id, false)))
    }
    return chromeTrace([
      { name: 'executions', pid: process.pid, records: own },
      ...this.#parts.map(({ client: { record } }, index) => ({
        name: record.name,
        pid: record.pid,
        records: records[index]!,
      })),
    ])
  }

  async close(): Promise<void> {
    this.#end('closed', new GraphClosedError('the graph was closed'))
    await Promise.all(this.#parts.map(({ requests }) => requests.endGraph(this.#id).catch(() => {})))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  poll(execution: Execution): void {
    this.#pump.poll(execution)
  }

  get isWaiting(): boolean {
    return this.#executions.length > 0
  }

  hold(): () => void {
    return this.#runtime.connections.hold()
  }

  #start(execution: Execution, inputs: readonly unknown[]): void {
    for (const { outlet, input } of this.#outlets) {
      // All inputs are known to be sendable before the first is sent.
      if (this.#outlets.length > 1) {
        this.#send(execution, this.#messages(inputs))
        return
      }
      if (!outlet.writeValue(inputs[input], 'the input')) this.#full()
    }
    this.#started += 1
    this.#executions.push(execution)
  }

  #messages(inputs: readonly unknown[]): Message[] {
    return this.#outlets.map(({ input }) => messageOf(inputs[input], `input ${input + 1}`))
  }

  #send(execution: Execution, messages: readonly Message[]): void {
    for (const [index, { outlet }] of this.#outlets.entries()) if (!outlet.write(messages[index]!)) this.#full()
    this.#started += 1
    this.#executions.push(execution)
  }

  #full(): never {
    throw new GraphClosedError('an actor of the graph takes no more inputs')
  }

  #enqueue(execution: Execution, inputs: readonly unknown[]): void {
    if (this.#queued.length >= MAX_PENDING_CALLS) {
      throw new QueueFullError(
        `${this.#queued.length} executions of the graph wait; await some of them, or use stream()`,
      )
    }
    this.#queued.push({ execution, messages: this.#messages(inputs) })
  }

  taken(): void {
    if (this.#executions.length === 0) for (const { outlet } of this.#outlets) outlet.releaseTaken()
  }

  take(source: Source, value: unknown): void {
    const { inlet, output } = source
    const { isFailure } = inlet
    const execution = this.#executions[source.arrived - this.#completed]!
    source.arrived += 1
    if (isFailure && value instanceof Error) addOrigin(value, 'a step of the graph', this.#origin)
    if (!execution.output(output, value, isFailure)) return
    // Outputs come in order, so the execution that is complete is the first one.
    this.#executions.shift()
    this.#completed += 1
    this.#records?.push({
      label: 'execution',
      execution: this.#completed - 1,
      start: performance.timeOrigin + execution.start,
      end: performance.timeOrigin + performance.now(),
    })
    const next = this.#queued.shift()
    if (next) this.#send(next.execution, next.messages)
  }

  /** The failure of an actor that ended the graph is known to whoever awaits an execution that failed for it. */
  noticed(error: unknown): void {
    if (error === this.failure && this.#lost) this.#runtime.noticed(this.#lost.record.id)
  }

  /** Waits for the head's word on why the process of an actor has gone: it knows how it ended. */
  async #partLost({ client, peer }: Part, error: unknown): Promise<void> {
    if (this.state !== 'running') return
    const failure = (await client.explain(error, peer)) as Error
    if (this.state !== 'running') return
    if (failure instanceof ActorDiedError) this.#lost = client
    this.#end('failed', failure)
    for (const { requests } of this.#parts) requests.endGraph(this.#id).catch(() => {})
  }

  #end(state: 'failed' | 'closed', error: Error): void {
    if (this.state !== 'running') return
    // Results that were computed before still count.
    this.#pump.takeAll()
    this.state = state
    if (state === 'failed') this.failure = error
    this.#pump.end()
    for (const { outlet, forget } of this.#outlets) {
      outlet.close()
      forget()
    }
    const queued = this.#queued.splice(0)
    for (const { pins } of queued.flatMap(({ messages }) => messages)) for (const release of pins) release()
    const pending = [...this.#executions.splice(0), ...queued.map(({ execution }) => execution)]
    for (const execution of pending) execution.fail(error)
  }
}
