import { InvalidInputError } from '../common/errors.js'
import type { ActorClient } from '../runtime/actor-client.js'
import type { GraphStep, ValueId } from './protocol.js'
import { type GraphTrace, type TracedStep, TracedValue } from './trace.js'

/** The process that compiled the graph, where an actor's number would stand. */
export const DRIVER = -1

/** A value that goes from one process to others. */
export interface Edge {
  readonly value: ValueId
  /** Numbers of actors, or {@link DRIVER}. */
  readonly from: number
  readonly to: readonly number[]
}

/** The steps of a graph, and the actors and channels that they run on. */
export interface GraphPlan {
  readonly inputs: number
  readonly actors: readonly ActorClient[]
  /** The steps, each after those that it needs, with the numbers of their actors. */
  readonly steps: readonly { readonly actor: number; readonly step: GraphStep }[]
  readonly edges: readonly Edge[]
  /** The values that the driver gets: those of the result, then those of steps whose values nobody needs. */
  readonly outputs: readonly ValueId[]
  /** The number of them that are of the result. */
  readonly resultOutputs: number
  readonly groups: number
  /** Puts the result together from the values of the outputs. */
  result(values: readonly unknown[]): unknown
}

/**
 * Plans what a function does with actors.
 *
 * @throws InvalidInputError if it cannot be run: a result that is no value of the graph, an input that nothing uses, steps
 * that wait for each other
 */
export function planOf(trace: GraphTrace, inputs: number, result: unknown): GraphPlan {
  const actors = [...new Set(trace.steps.map(({ actor }) => actor))]
  const steps = trace.steps.map((traced) => ({
    actor: actors.indexOf(traced.actor),
    step: stepOf(traced, trace.steps),
  }))
  checkOrder(
    inputs,
    steps.map(({ step }) => step),
  )
  const own: ValueId[] = []
  const compose = composer(result, trace, own)
  if (own.length === 0) throw new InvalidInputError('the function of a graph must return what a step computes')
  const input = own.find((value) => value < inputs)
  if (input !== undefined)
    throw new InvalidInputError(`the graph returns its input ${input + 1} as it is; return what a step makes of it`)
  const used = new Set(steps.flatMap(({ step }) => step.args.flatMap((arg) => ('value' in arg ? [arg.value] : []))))
  for (let value = 0; value < inputs; value++) {
    if (!used.has(value))
      throw new InvalidInputError(`input ${value + 1} of the graph is used by no step; leave it out`)
  }
  const unused = steps.map(({ step }) => step.value).filter((value) => !used.has(value) && !own.includes(value))
  const outputs = [...own, ...unused]
  const edges = edgesOf(inputs, steps, outputs)
  return { inputs, actors, steps, edges, outputs, resultOutputs: own.length, groups: trace.groups, result: compose }
}

/**
 * Checks that the steps can run: each after all it needs, where the parts of a collective need what any of them does.
 *
 * @throws InvalidInputError naming the steps that wait for each other
 */
export function checkOrder(inputs: number, steps: readonly GraphStep[]): void {
  const known = new Set(Array.from({ length: inputs }, (_, value) => value))
  const needs = (step: GraphStep) => {
    const together =
      step.kind === 'collective'
        ? steps.filter((other) => other.kind === 'collective' && other.group === step.group)
        : [step]
    return together.flatMap(({ args }) => args.flatMap((arg) => ('value' in arg ? [arg.value] : [])))
  }
  let waiting = [...steps]
  for (;;) {
    const left = waiting.filter((step) => !needs(step).every((value) => known.has(value)))
    if (left.length === waiting.length) break
    for (const step of waiting) if (!left.includes(step)) known.add(step.value)
    waiting = left
  }
  if (waiting.length === 0) return
  const labels = waiting.map(({ label }) => label).join(', ')
  throw new InvalidInputError(`these steps of the graph would wait for each other for ever: ${labels}`)
}

function stepOf(traced: TracedStep, all: readonly TracedStep[]): GraphStep {
  const { kind, value, args } = traced
  const { name } = traced.actor.record
  if (kind === 'call') return { kind, value, args, method: traced.method, label: `${name}.${traced.method}` }
  const { operation, reduction, group, rank } = traced
  const members = all.flatMap((step) =>
    step.kind === 'collective' && step.group === group ? [step.actor.record.name] : [],
  )
  return { kind, value, args, operation, reduction, group, rank, members, label: `${name}: ${operation}` }
}

function edgesOf(inputs: number, steps: GraphPlan['steps'], outputs: readonly ValueId[]): Edge[] {
  const producers = new Map<ValueId, number>(Array.from({ length: inputs }, (_, value) => [value, DRIVER]))
  for (const { actor, step } of steps) producers.set(step.value, actor)
  return [...producers].flatMap(([value, from]) => {
    const users = steps.filter(({ step }) => step.args.some((arg) => 'value' in arg && arg.value === value))
    const to = new Set(users.map(({ actor }) => actor))
    if (outputs.includes(value)) to.add(DRIVER)
    to.delete(from)
    return to.size > 0 ? [{ value, from, to: [...to] }] : []
  })
}

/** Takes down the values that a result is made of, and returns what makes it of theirs. */
function composer(result: unknown, trace: GraphTrace, values: ValueId[]): (from: readonly unknown[]) => unknown {
  if (result instanceof TracedValue) {
    const id = trace.idOf(result)
    let index = values.indexOf(id)
    if (index < 0) index = values.push(id) - 1
    return (from) => from[index]
  }
  if (Array.isArray(result)) {
    const items = result.map((item) => composer(item, trace, values))
    return (from) => items.map((item) => item(from))
  }
  if (typeof result === 'object' && result !== null && Object.getPrototypeOf(result) === Object.prototype) {
    const entries = Object.entries(result).map(([key, item]) => [key, composer(item, trace, values)] as const)
    return (from) => Object.fromEntries(entries.map(([key, item]) => [key, item(from)]))
  }
  throw new InvalidInputError(`a graph returns values of its steps, in arrays and objects too, found ${String(result)}`)
}
