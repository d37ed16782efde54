import { randomBytes } from 'node:crypto'
import { type ChannelReader, makeChannel } from '../channel/channel.js'
import type { Outlet } from '../channel/outlet.js'
import { ActorDiedError } from '../common/errors.js'
import type { ActorClient } from '../runtime/actor-client.js'
import type { Runtime } from '../runtime/runtime.js'
import { randomId } from '../transport/connection-manager.js'
import { control, type Remote } from '../transport/control.js'
import type { Peer } from '../transport/peer.js'
import { DRIVER, type GraphPlan } from './plan.js'
import type { GraphService, PartSpec, Prepared, ValueId } from './protocol.js'
import type { Source } from './result-pump.js'

/** One actor of a graph, and the connection to it. */
export interface Part {
  readonly client: ActorClient
  readonly peer: Peer
  readonly requests: Remote<GraphService>
}

/** The channel that one input goes into. */
export interface InputOutlet {
  readonly outlet: Outlet
  readonly input: number
  readonly forget: () => void
}

/** A graph whose actors have their parts, and whose channels are open. */
export interface Launched {
  readonly id: string
  readonly parts: readonly Part[]
  readonly outlets: readonly InputOutlet[]
  readonly sources: readonly Source[]
}

/** Gives the actors of a graph their parts, and joins them with channels; all of them or none. */
export async function launch(runtime: Runtime, plan: GraphPlan, maxInFlight: number): Promise<Launched> {
  const id = randomId()
  const token = randomBytes(16).toString('hex')
  const parts = plan.actors.map(({ record }) => {
    const client = runtime.client(record)
    const peer = client.connection()
    return { client, peer, requests: control<GraphService>(peer) }
  })
  const ofAll = <T>(ask: (part: Part, actor: number) => Promise<T>) =>
    allOrNone(parts.map((part, actor) => ask(part, actor).catch((error) => explained(runtime, part, error))))
  const letGo = runtime.connections.hold()
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
    return { id, parts, outlets, sources }
  } catch (error) {
    for (const { requests } of parts) requests.endGraph(id).catch(() => {})
    throw error
  } finally {
    letGo()
  }
}

/** The specification of one actor's part. */
function specOf(plan: GraphPlan, actor: number, graph: string, maxInFlight: number, token: string): PartSpec {
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
  plan: GraphPlan,
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
