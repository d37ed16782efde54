import type { Reducible, Reduction, Tensor } from '@troupe/tensor'
import { type CallInterceptor, callInterceptor, intercepting } from '../api/handle.js'
import { InvalidInputError } from '../common/errors.js'
import type { ActorClient } from '../runtime/actor-client.js'
import { ObjectRef } from '../runtime/ref.js'
import type { Argument, CollectiveStep, ValueId } from './protocol.js'

/** A step as it was traced, with the actor that does it. */
export type TracedStep =
  | {
      readonly kind: 'call'
      readonly value: ValueId
      readonly actor: ActorClient
      readonly method: string
      readonly args: readonly Argument[]
    }
  | {
      readonly kind: 'collective'
      readonly value: ValueId
      readonly actor: ActorClient
      readonly operation: CollectiveStep['operation']
      readonly reduction: Reduction
      readonly args: readonly Argument[]
      readonly group: number
      readonly rank: number
    }

/** Stands for what a step will compute in each execution. */
export class TracedValue extends ObjectRef<unknown> {
  constructor(
    readonly trace: GraphTrace,
    readonly value: ValueId,
  ) {
    super(() => {})
  }

  // biome-ignore lint/suspicious/noThenProperty: awaiting it is a mistake that would never end
  override then(): never {
    throw new InvalidInputError(
      'a value of a graph is known only in an execution: pass it to methods of actors, do not await it',
    )
  }

  /** Keeps the ref out of messages: its codec asks this before it sends one. */
  override get isReleased(): never {
    throw new InvalidInputError('a value of a graph can be an argument itself, not be inside of one')
  }
}

/** Takes down what a function does with actors. */
export class GraphTrace implements CallInterceptor {
  readonly steps: TracedStep[] = []
  /** The number of groups, one for each collective so far. */
  groups = 0
  #values = 0

  /** Runs the function with as many inputs as it takes. @throws InvalidInputError if it cannot be a graph */
  run(build: (...inputs: never[]) => unknown): { inputs: number; result: unknown } {
    if (build.length === 0) {
      throw new InvalidInputError(
        'the function of a graph takes its inputs as parameters, found none (rest parameters do not count)',
      )
    }
    if (currentTrace())
      throw new InvalidInputError('a graph was compiled inside of another; compile them one after the other')
    const inputs = Array.from({ length: build.length }, () => this.#newValue())
    const result = intercepting(this, () => build(...(inputs as never[])))
    if (result instanceof Promise && !(result instanceof TracedValue)) {
      result.catch(() => {})
      throw new InvalidInputError('the function of a graph must not be async: it only says which calls follow which')
    }
    return { inputs: inputs.length, result }
  }

  /** A method of an actor is called. */
  call(actor: ActorClient, method: string, args: unknown[]): TracedValue {
    const { name, generators } = actor.record
    const label = `${name}.${method}`
    if (generators.includes(method)) {
      throw new InvalidInputError(`${label} yields a stream and cannot be a step of a graph; return a value`)
    }
    if (!args.some((arg) => arg instanceof TracedValue)) {
      throw new InvalidInputError(`${label} gets no value of the graph, so nothing says when it runs; pass it one`)
    }
    const value = this.#newValue()
    this.steps.push({ kind: 'call', value: value.value, actor, method, args: args.map((arg) => this.#argument(arg)) })
    return value
  }

  collective(
    operation: CollectiveStep['operation'],
    values: readonly unknown[],
    reduction: Reduction = 'sum',
  ): TracedValue[] {
    if (values.length < 2) throw new InvalidInputError(`${operation} joins at least 2 values, found ${values.length}`)
    const group = this.groups++
    const members = values.map((value) => {
      const argument = this.#argument(value)
      const actor = 'value' in argument ? this.steps.find((step) => step.value === argument.value)?.actor : undefined
      if (!actor)
        throw new InvalidInputError(`${operation} joins what actors have computed in this graph, found something else`)
      return { argument, actor }
    })
    for (const { actor } of members) {
      if (members.filter((member) => member.actor === actor).length === 1) continue
      throw new InvalidInputError(
        `${operation} joins one value of each actor, found several of ${actor.record.name}: they would wait for each other`,
      )
    }
    return members.map(({ argument, actor }, rank) => {
      const value = this.#newValue()
      this.steps.push({
        kind: 'collective',
        value: value.value,
        actor,
        operation,
        reduction,
        args: [argument],
        group,
        rank,
      })
      return value
    })
  }

  /** @throws InvalidInputError if the value is of another graph */
  idOf(value: TracedValue): ValueId {
    if (value.trace !== this)
      throw new InvalidInputError('a value of another graph was used; each graph has values of its own')
    return value.value
  }

  #argument(arg: unknown): Argument {
    return arg instanceof TracedValue ? { value: this.idOf(arg) } : { constant: arg }
  }

  #newValue(): TracedValue {
    return new TracedValue(this, this.#values++)
  }
}

function traced<T>(
  operation: CollectiveStep['operation'],
  values: readonly ObjectRef<T>[],
  reduction?: Reduction,
): ObjectRef<T>[] {
  const trace = currentTrace()
  if (!trace) {
    throw new InvalidInputError(`${operation} is a node of a graph: call it in the function that is given to graph()`)
  }
  return trace.collective(operation, values, reduction) as ObjectRef<unknown>[] as ObjectRef<T>[]
}

/**
 * In a graph, the sum (or another reduction) of tensors that actors have computed, each of the same shape on an actor of its
 * own; each of those actors gets the result.
 *
 * @throws InvalidInputError if two of them are of the same actor, or outside of a graph
 * @example
 * ```ts
 * const compiled = await graph((batch: ObjectRef<Batch>) => {
 *   const [left, right] = allReduce([a.gradients(batch), b.gradients(batch)], { reduction: 'average' })
 *   return [a.step(left!), b.step(right!)]
 * })
 * ```
 */
export function allReduce<T extends Reducible>(
  values: readonly ObjectRef<T>[],
  { reduction }: { readonly reduction?: Reduction } = {},
): ObjectRef<T>[] {
  return traced('allReduce', values, reduction)
}

/** In a graph, the tensors of several actors stacked along their first dimension, which each of those actors gets. */
export function allGather<T extends Tensor>(values: readonly ObjectRef<T>[]): ObjectRef<T>[] {
  return traced('allGather', values)
}

/**
 * In a graph, the sum (or another reduction) of the tensors of several actors, of which each of those actors gets an equal
 * share of the rows.
 */
export function reduceScatter<T extends Reducible>(
  values: readonly ObjectRef<T>[],
  { reduction }: { readonly reduction?: Reduction } = {},
): ObjectRef<T>[] {
  return traced('reduceScatter', values, reduction)
}

/** The trace that takes down the calls which are made now, if a graph is traced. */
function currentTrace(): GraphTrace | undefined {
  const interceptor = callInterceptor()
  return interceptor instanceof GraphTrace ? interceptor : undefined
}
