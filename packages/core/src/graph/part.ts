import { ChannelSet } from '@troupe/native'
import { makeChannel } from '../channel/channel.js'
import type { Inlet } from '../channel/inlet.js'
import { messageOf, NOTHING } from '../channel/message.js'
import type { Outlet } from '../channel/outlet.js'
import { Deferred } from '../common/deferred.js'
import { CollectivePart } from './collective.js'
import type { BindMethod } from './parts.js'
import type { GraphStep, PartSpec, Prepared, StepRecord, ValueId, Wiring } from './protocol.js'
import { Failed, StepRunner } from './step-runner.js'

/** Microseconds that this thread waits for the next value after it has had one, before its event loop does. */
const WAIT = 100
/** Milliseconds of work after which a part lets the event loop look for other calls. */
const BUDGET = 0.25

/** Takes a value that was computed here or has come from another process. */
type Sink = (value: unknown) => void

/** One actor's part of a graph: reads values from channels, runs its steps with them, and writes what others need. */
export class GraphPart {
  readonly prepared: Prepared
  /** Resolves when this part has ended. */
  readonly ended: Promise<void>
  readonly #runners: StepRunner[] = []
  /** The functions in this process that take each value. */
  readonly #sinks = new Map<ValueId, Sink[]>()
  readonly #collectives = new Map<number, CollectivePart>()
  readonly #outlets: { readonly outlet: Outlet; readonly forget: () => void }[] = []
  #inlets: { readonly inlet: Inlet; readonly sinks: readonly Sink[] }[] = []
  #set: ChannelSet | undefined
  #records: StepRecord[] | undefined
  #isEnded = false
  #isScheduled = false
  readonly #ended = new Deferred()
  readonly #wake = () => this.#turn()

  /** @throws InvalidInputError if the actor lacks a method */
  constructor({ graph, maxInFlight, steps, outlets, token }: PartSpec, bind: BindMethod) {
    this.ended = this.#ended.promise
    const bound = steps.map((step) => (step.kind === 'call' ? bind(step.method) : undefined))
    const ranks: Prepared['ranks'][number][] = []
    for (const [index, step] of steps.entries()) {
      let collective: CollectivePart | undefined
      if (step.kind === 'collective') {
        collective = new CollectivePart(step, graph, token)
        this.#collectives.set(step.group, collective)
        ranks.push({ group: step.group, address: collective.address })
      }
      this.#add(step, bound[index], collective)
    }
    const readers = outlets.map(({ value, readers: count, isOutcome }) => {
      const { outlet, ends, forget } = makeChannel(maxInFlight, count)
      this.#outlets.push({ outlet, forget })
      const { label } = steps.find((step) => step.value === value)!
      this.#sinksOf(value).push((result) => send(outlet, result, isOutcome, label))
      return ends
    })
    this.prepared = { readers, ranks }
  }

  /** Connects to the other parts, and begins. */
  async start({ inlets, groups }: Wiring): Promise<void> {
    this.#inlets = inlets.map(({ value, reader }) => ({ inlet: reader.open(), sinks: this.#sinksOf(value) }))
    await Promise.all(groups.map(({ group, addresses }) => this.#collectives.get(group)?.connect(addresses)))
    const natives = this.#inlets.flatMap(({ inlet }) => (inlet.native ? [inlet.native] : []))
    if (natives.length > 1) this.#set = new ChannelSet(natives)
    this.#turn()
  }

  /** Starts or stops recording, and returns what was recorded. */
  record(isRecording: boolean): readonly StepRecord[] {
    const records = this.#records ?? []
    this.#records = isRecording ? [] : undefined
    return records
  }

  /** Ends this part at once; what a method under way returns is dropped. */
  async end(): Promise<void> {
    if (this.#isEnded) return
    this.#isEnded = true
    for (const collective of this.#collectives.values()) collective.abort('the graph has ended')
    for (const { inlet } of this.#inlets) inlet.close()
    for (const { outlet, forget } of this.#outlets) {
      outlet.close()
      forget()
    }
    this.#ended.resolve()
  }

  #add(step: GraphStep, bound: ReturnType<BindMethod> | undefined, collective: CollectivePart | undefined): void {
    const action = collective
      ? { run: (value: unknown) => collective.run(value), semaphore: undefined, takesFailures: true }
      : { run: bound!.run, semaphore: bound!.semaphore, takesFailures: false }
    const sinks = this.#sinksOf(step.value)
    let execution = 0
    const runner = new StepRunner(step, action, (result, start) => {
      this.#records?.push(recordOf(step.label, execution, start))
      execution += 1
      for (const sink of sinks) sink(result)
    })
    this.#runners.push(runner)
    step.args.forEach((arg, index) => {
      if ('value' in arg) this.#sinksOf(arg.value).push((value) => runner.offer(index, value))
    })
  }

  #sinksOf(value: ValueId): Sink[] {
    let sinks = this.#sinks.get(value)
    if (!sinks) {
      sinks = []
      this.#sinks.set(value, sinks)
    }
    return sinks
  }

  /** Works while values come. After a while without any it waits for the event loop to wake this part. */
  #turn(): void {
    if (this.#isEnded || this.#isScheduled) return
    for (const { inlet } of this.#inlets) inlet.disarm()
    const until = performance.now() + BUDGET
    while (this.#takeIn()) {
      if (this.#isEnded) return
      if (performance.now() > until) {
        this.#later()
        return
      }
    }
    for (const { inlet } of this.#inlets) {
      if (!inlet.ending && !inlet.arm(this.#wake)) {
        this.#later()
        return
      }
    }
  }

  /** Calls and timers get their turn first. */
  #later(): void {
    this.#isScheduled = true
    setImmediate(() => {
      this.#isScheduled = false
      this.#turn()
    })
  }

  /** Takes what has come, and waits for it where that holds up nothing. */
  #takeIn(): boolean {
    const wait = this.#runners.some((runner) => runner.isBusy) ? 0 : WAIT
    const [only] = this.#inlets
    if (only && this.#inlets.length === 1) return take(only, wait)
    let hasTaken = false
    for (const source of this.#inlets) while (take(source, 0)) hasTaken = true
    if (hasTaken) return true
    return (
      wait > 0 && this.#set !== undefined && this.#set.wait(wait) && this.#inlets.some(({ inlet }) => inlet.poll(0))
    )
  }
}

function take({ inlet, sinks }: { readonly inlet: Inlet; readonly sinks: readonly Sink[] }, wait: number): boolean {
  const value = inlet.next(wait)
  if (value === NOTHING) return false
  const item = inlet.isFailure ? new Failed(value) : value
  for (const sink of sinks) sink(item)
  return true
}

/** Writes what a step gave. There is always room: channels hold as many messages as there are executions at a time. */
function send(outlet: Outlet, result: unknown, isOutcome: boolean, label: string): void {
  if (!(result instanceof Failed)) {
    try {
      if (isOutcome) outlet.writeValue(null, label)
      else outlet.writeValue(result, `the result of ${label}`)
      return
    } catch (error) {
      result = new Failed(error)
    }
  }
  const { error } = result as Failed
  try {
    outlet.write(messageOf(error, `what ${label} threw`, true))
  } catch (unsendable) {
    outlet.write(messageOf(unsendable, `what ${label} threw`, true))
  }
}

function recordOf(label: string, execution: number, start: number): StepRecord {
  const { timeOrigin } = performance
  return { label, execution, start: timeOrigin + start, end: timeOrigin + performance.now() }
}
