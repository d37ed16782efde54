import { randomBytes } from 'node:crypto'
import { inspect } from 'node:util'
import { ChannelSet } from '@troupe/native'
import { MAX_PENDING_CALLS } from '../api/spawn-options.js'
import { type ChannelReader, makeChannel } from '../channel/channel.js'
import type { Inlet } from '../channel/inlet.js'
import { type Message, messageOf, NOTHING } from '../channel/message.js'
import type { Outlet } from '../channel/outlet.js'
import { ActorDiedError, GraphClosedError, InvalidInputError, QueueFullError } from '../common/errors.js'
import type { ActorClient } from '../runtime/actor-client.js'
import { checkCount } from '../runtime/call-options.js'
import { currentRuntime } from '../runtime/current.js'
import { addOrigin, callerOf } from '../runtime/origin.js'
import type { ObjectRef } from '../runtime/ref.js'
import type { Runtime } from '../runtime/runtime.js'
import { control, type Remote } from '../transport/control.js'
import type { Peer } from '../transport/peer.js'
import { randomId } from '../transport/switchboard.js'
import { type ChromeTrace, chromeTrace } from './chrome-trace.js'
import { Execution, type ExecutionOwner } from './execution.js'
import { DRIVER, type Plan, planOf } from './plan.js'
import type { GraphRequests, PartSpec, Prepared, StepRecord, ValueId } from './protocol.js'
import { Trace } from './trace.js'
import { drawSvg, drawText } from './visualize.js'

/** Microseconds that awaiting a ref waits for the result with this thread, before the event loop does. */
const WAIT = 100
/** Milliseconds after which the event loop gets a turn although results come at once. */
const TURN = 1

/** How a graph is compiled. */
export interface GraphOptions {
  /** Executions that are under way at a time; further ones wait in this process. 16 by default. */
  readonly maxInFlight?: number
}

/** What an execution of a function's graph gives: the values in place of the refs. */
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
  const trace = new Trace()
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
  /** How it is: an actor that dies makes it `failed`. */
  readonly state: 'running' | 'failed' | 'closed'
  /** Why it has failed. */
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

interface Part {
  readonly client: ActorClient
  readonly peer: Peer
  readonly requests: Remote<GraphRequests>
}

interface Source {
  readonly inlet: Inlet
  readonly output: number
  /** How many executions it has given its value to. */
  arrived: number
}

interface InputOutlet {
  readonly outlet: Outlet
  readonly input: number
  readonly forget: () => void
}

class Compiled implements Graph<unknown[], unknown>, ExecutionOwner {
  state: 'running' | 'failed' | 'closed' = 'running'
  failure: Error | undefined
  /** The actor whose death has ended it. */
  #lost: ActorClient | undefined
  readonly #id: string
  readonly #runtime: Runtime
  readonly #plan: Plan
  readonly #maxInFlight: number
  readonly #parts: readonly Part[]
  readonly #outlets: readonly InputOutlet[]
  readonly #sources: readonly Source[]
  readonly #set: ChannelSet | undefined
  readonly #origin: Error | undefined
  /** Executions whose outputs have not all come; the first is number `#completed`. */
  readonly #executions: Execution[] = []
  #completed = 0
  #started = 0
  readonly #queued: { readonly execution: Execution; readonly messages: readonly Message[] }[] = []
  #isBusy = true
  #isArmed = false
  #isTurning = false
  #lastTurn = 0
  #letGo: (() => void) | undefined
  #records: StepRecord[] | undefined
  readonly #wake = () => {
    this.#isArmed = false
    this.#isBusy = true
    this.#takeAll()
    this.#watch()
  }

  private constructor(
    id: string,
    runtime: Runtime,
    plan: Plan,
    maxInFlight: number,
    parts: readonly Part[],
    outlets: readonly InputOutlet[],
    sources: readonly Source[],
    origin: Error | undefined,
  ) {
    this.#id = id
    this.#runtime = runtime
    this.#plan = plan
    this.#maxInFlight = maxInFlight
    this.#parts = parts
    this.#outlets = outlets
    this.#sources = sources
    this.#origin = origin
    const natives = sources.flatMap(({ inlet }) => (inlet.native ? [inlet.native] : []))
    if (natives.length > 1) this.#set = new ChannelSet(natives)
    this.#lastTurn = performance.now()
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

  static async make(runtime: Runtime, plan: Plan, maxInFlight: number): Promise<Compiled> {
    const id = randomId()
    const token = randomBytes(16).toString('hex')
    const origin = callerOf()
    const parts = plan.actors.map(({ record }) => {
      const client = runtime.client(record)
      const peer = client.connection()
      return { client, peer, requests: control<GraphRequests>(peer) }
    })
    const ofAll = <T>(ask: (part: Part, actor: number) => Promise<T>) =>
      allOrNone(parts.map((part, actor) => ask(part, actor).catch((error) => explained(runtime, part, error))))
    const letGo = runtime.switchboard.hold()
    try {
      const specs = plan.actors.map((_, actor) => specOf(plan, actor, id, maxInFlight, token))
      const prepared = await ofAll(({ requests }, actor) => requests.prepareGraph(specs[actor]!))
      const readers = new Map<string, ChannelReader<unknown>>()
      const outlets: InputOutlet[] = []
      for (const { value, from, to } of plan.edges) {
        let ends: readonly ChannelReader<unknown>[]
        if (from === DRIVER) {
          const made = makeChannel(maxInFlight, to.length)
          outlets.push({ outlet: made.outlet, input: value, forget: made.forget })
          ends = made.ends
        } else {
          const index = specs[from]!.outlets.findIndex((outlet) => outlet.value === value)
          ends = prepared[from]!.readers[index]!
        }
        for (const [index, reader] of to.entries()) readers.set(`${value}:${reader}`, ends[index]!)
      }
      await ofAll(({ requests }, actor) => requests.startGraph(id, wiringOf(plan, actor, readers, prepared)))
      const sources = plan.outputs.map((value, output) => {
        return { inlet: readers.get(`${value}:${DRIVER}`)!.open(), output, arrived: 0 }
      })
      return new Compiled(id, runtime, plan, maxInFlight, parts, outlets, sources, origin)
    } catch (error) {
      for (const { requests } of parts) requests.endGraph(id).catch(() => {})
      throw error
    } finally {
      letGo()
    }
  }

  execute(...inputs: unknown[]): ObjectRef<unknown> {
    if (inputs.length !== this.#plan.inputs) {
      throw new InvalidInputError(`the graph takes ${this.#plan.inputs} inputs, found ${inputs.length}`)
    }
    const number = this.#started + this.#queued.length
    const start = this.#records ? performance.now() : 0
    const execution = new Execution(this, `${this.#id}:${number}`, this.#sources.length, this.#plan.result, start)
    if (this.state !== 'running') {
      execution.fail(this.failure ?? new GraphClosedError('the graph was closed'))
      return execution.ref
    }
    if (this.#executions.length < this.#maxInFlight && this.#queued.length === 0) this.#start(execution, inputs)
    else this.#enqueue(execution, inputs)
    this.#watch()
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

  /** Looks for results when one is awaited. The event loop gets its turn now and then, however fast they come. */
  poll(execution: Execution): void {
    if (performance.now() - this.#lastTurn > TURN) return
    this.#disarm()
    const [only] = this.#sources
    if (this.#sources.length > 1) {
      do {
        this.#takeAll()
      } while (!execution.isSettled && this.#isBusy && this.#wait())
    } else {
      while (!execution.isSettled) {
        const value = only!.inlet.next(this.#isBusy ? WAIT : 0)
        if (value === NOTHING) {
          this.#isBusy = false
          break
        }
        this.#take(only!, value)
      }
    }
    this.#watch()
  }

  #wait(): boolean {
    this.#isBusy = this.#set?.wait(WAIT) ?? false
    return this.#isBusy
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

  #takeAll(): void {
    for (const source of this.#sources) {
      for (let value = source.inlet.next(0); value !== NOTHING; value = source.inlet.next(0)) this.#take(source, value)
    }
    if (this.#executions.length === 0) for (const { outlet } of this.#outlets) outlet.releaseTaken()
  }

  #take(source: Source, value: unknown): void {
    const { inlet, output } = source
    const { isFailure } = inlet
    const execution = this.#executions[source.arrived - this.#completed]!
    source.arrived += 1
    if (isFailure && value instanceof Error) addOrigin(value, 'a step of the graph', this.#origin)
    this.#isBusy = true
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

  /** Has the event loop look for results while there are executions under way. */
  #watch(): void {
    if (this.#isTurning || this.#isArmed || this.state !== 'running') return
    if (this.#executions.length === 0 && performance.now() - this.#lastTurn <= TURN) return
    this.#isTurning = true
    setImmediate(() => {
      this.#isTurning = false
      this.#lastTurn = performance.now()
      if (this.state !== 'running') return
      this.#takeAll()
      if (this.#executions.length > 0) this.#arm()
    })
  }

  #arm(): void {
    if (this.#isArmed) return
    this.#letGo ??= this.#runtime.switchboard.hold()
    this.#isArmed = true
    for (const { inlet } of this.#sources) {
      if (inlet.arm(this.#wake)) continue
      this.#disarm()
      this.#watch()
      return
    }
  }

  #disarm(): void {
    if (!this.#isArmed) return
    this.#isArmed = false
    for (const { inlet } of this.#sources) inlet.disarm()
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
    // What was computed before still counts.
    this.#takeAll()
    this.state = state
    if (state === 'failed') this.failure = error
    this.#disarm()
    this.#letGo?.()
    for (const { inlet } of this.#sources) inlet.close()
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

/** What one actor is told. */
function specOf(plan: Plan, actor: number, graph: string, maxInFlight: number, token: string): PartSpec {
  const used = new Set(
    plan.steps.flatMap(({ step }) => step.args.flatMap((arg) => ('value' in arg ? [arg.value] : []))),
  )
  const isOwn = (value: ValueId) => plan.outputs.indexOf(value) < plan.resultOutputs
  return {
    graph,
    maxInFlight,
    token,
    steps: plan.steps.filter((step) => step.actor === actor).map(({ step }) => step),
    outlets: plan.edges
      .filter(({ from }) => from === actor)
      .map(({ value, to }) => ({ value, readers: to.length, isOutcome: !used.has(value) && !isOwn(value) })),
  }
}

function wiringOf(
  plan: Plan,
  actor: number,
  readers: ReadonlyMap<string, ChannelReader<unknown>>,
  prepared: readonly Prepared[],
) {
  const groups = new Set(
    plan.steps.flatMap(({ actor: by, step }) => (by === actor && step.kind === 'collective' ? [step.group] : [])),
  )
  const ranks = prepared.flatMap((part) => part.ranks)
  return {
    inlets: plan.edges
      .filter(({ to }) => to.includes(actor))
      .map(({ value }) => ({ value, reader: readers.get(`${value}:${actor}`)! })),
    groups: [...groups].map((group) => ({
      group,
      addresses: ranks
        .filter((rank) => rank.group === group)
        .map(({ address }) => address)
        .sort((a, b) => a.rank - b.rank),
    })),
  }
}

/** @throws what a failed request to an actor means; its death, if it is that, is known to who compiles the graph */
async function explained(runtime: Runtime, { client, peer }: Part, error: unknown): Promise<never> {
  const failure = await client.explain(error, peer)
  if (failure instanceof ActorDiedError) runtime.noticed(client.record.id)
  throw failure
}

/** All values, or the first failure once the others have settled too. */
async function allOrNone<T>(promises: readonly Promise<T>[]): Promise<T[]> {
  const outcomes = await Promise.allSettled(promises)
  const failure = outcomes.find((outcome) => outcome.status === 'rejected')
  if (failure) throw failure.reason
  return outcomes.map((outcome) => (outcome as PromiseFulfilledResult<T>).value)
}
