import '../index.js'
import { registeredClass } from '../api/actor.js'
import { InvalidInputError } from '../api/errors.js'
import { observeWaits } from '../api/ref.js'
import { WORKER_VARIABLE, type WorkerBoot } from '../cluster/boot.js'
import { followParent } from '../cluster/lifeline.js'
import {
  type ActorClass,
  type ActorSpec,
  type CallerDuties,
  STOP,
  TASK,
  TASK_OF_SEVERAL,
  type WorkerDuties,
  type WorkerRequests,
} from '../cluster/protocol.js'
import { workerTitle } from '../cluster/title.js'
import { collectGarbage } from '../runtime/collect-garbage.js'
import { takeHeldBytes } from '../runtime/held-result.js'
import { fetchArguments } from '../runtime/remote-argument.js'
import { enter, Runtime } from '../runtime/runtime.js'
import { control, serve } from '../transport/control.js'
import type { IncomingCall } from '../transport/incoming-call.js'
import type { Peer } from '../transport/peer.js'
import { unseal } from '../transport/sealed.js'
import { ipcEndpoint, Switchboard } from '../transport/switchboard.js'
import { Executor } from './executor.js'
import { TaskRunner } from './task-runner.js'

type Class = new (...args: unknown[]) => object

/** Milliseconds after others have let go of the last result that its memory is given back. */
const COLLECT_AFTER = 500
/** Milliseconds that the owners of results have to bring them over before the process of a stopped actor ends. */
const HAND_OVER = 10_000
/** Milliseconds that the report of a fatal error may take. */
const LAST_REPORT = 500

const boot = JSON.parse(process.env[WORKER_VARIABLE] ?? '') as WorkerBoot
delete process.env[WORKER_VARIABLE]
process.title = 'troupe worker'
const following = followParent(boot.parentPid)

/** The GPUs that the node was given, where not all of its host's. */
const visibleGpus = process.env.CUDA_VISIBLE_DEVICES?.split(',')

let actor: { readonly id: string; readonly executor: Executor; readonly loaded: Promise<Class> } | undefined

const tasks = new TaskRunner()

/** Whether the head wants to know when others hold nothing of this process any more. */
let isAskedFor = false

/** The latest call of each caller that waits for its arguments or for such a call. */
const fetching = new Map<Peer, Promise<void>>()

const duties: WorkerDuties = {
  become,
  equip,
  supervise: async (failure) => actor?.executor.supervise?.(failure),
  idle: () => tasks.idle(),
  isSpare() {
    const isSpare = runtime.objects.size === 0
    isAskedFor = !isSpare
    return isSpare
  },
  reconstruct: async (args, restarts, reason) => {
    await actor?.loaded
    await constructing(unseal(args) as unknown[], { restarts, reason })
  },
}
const requests: WorkerRequests = {
  construct: (args) => constructing(args),
}

const switchboard = new Switchboard({ processId: boot.processId, nodeId: boot.nodeId })
const runtime = new Runtime(switchboard, boot.headEndpoint, boot.head, {
  onHeadLost: () => process.exit(1),
  duties,
})
runtime.cluster = { clusterId: boot.clusterId, head: boot.head }
observeWaits((ref) => tasks.waitsFor(ref))
// Before any module is imported: one that connects when it is imported must find that this is a worker.
enter(runtime)

process.on('uncaughtException', (error) => {
  console.error(error)
  process.exitCode = 1
  setTimeout(() => process.exit(1), LAST_REPORT)
  void runtime.head.failing(error).finally(() => process.exit(1))
})

const tcp = boot.listens ? [`tcp://${boot.host}:*`] : []
const [, tcpEndpoint] = await switchboard.listen([ipcEndpoint(boot.processId), ...tcp], (peer) => {
  const { processId } = peer.identity
  const served = { ...requests, ...runtime.servedTo(processId) }
  return { prepare, call: (call) => take(call, served), lost: () => runtime.objects.holderGone(processId) }
})
runtime.address = { processId: boot.processId, nodeId: boot.nodeId, ipc: ipcEndpoint(boot.processId), tcp: tcpEndpoint }
runtime.objects.onEmpty = () => {
  // A worker that waits for work allocates nothing, so the results that others have let go of would never be collected.
  if (takeHeldBytes() > 0) setTimeout(collectGarbage, COLLECT_AFTER).unref()
  if (isAskedFor) void runtime.head.spare().catch(() => {})
  isAskedFor = false
}
await following
await runtime.head.joinWorker({ pid: process.pid, tcp: tcpEndpoint })

function equip(gpus: readonly number[]): void {
  if (gpus.length === 0) return
  const own = visibleGpus === undefined ? gpus : gpus.map((index) => visibleGpus[index])
  process.env.CUDA_VISIBLE_DEVICES = own.join(',')
}

function become(spec: ActorSpec): void {
  const { actorId, name, actorClass, concurrency, coordinates, dimensions, rank, gpus, isSupervised } = spec
  equip(gpus)
  process.title = workerTitle(name)
  runtime.actor = {
    id: actorId,
    name,
    pid: process.pid,
    nodeId: boot.nodeId,
    host: boot.host,
    ...(coordinates && { coordinates, dimensions: dimensions ?? {}, rank: rank ?? 0 }),
  }
  const loaded = load(actorClass)
  loaded.catch(() => {})
  const executor = new Executor(name, concurrency)
  runtime.isSupervising = () => isSupervised || executor.supervise !== undefined
  actor = { id: actorId, executor, loaded }
}

/** Modules register codecs, so that arguments can only be decoded once those of the actor or the task are loaded. */
function prepare(target: string, method: string): Promise<unknown> | undefined {
  if (target === TASK || target === TASK_OF_SEVERAL) return tasks.prepare(method)
  return method === ('construct' satisfies keyof WorkerRequests) && target === '' ? actor?.loaded : undefined
}

async function constructing(args: unknown[], restart?: { restarts: number; reason: string }): Promise<void> {
  if (!actor) throw new InvalidInputError('this worker has not become an actor')
  const { executor, loaded } = actor
  await fetchArguments(runtime, args, true)
  await executor.construct(() => loaded, args, restart)
}

function take(call: IncomingCall, served: object): void {
  if (call.target === TASK || call.target === TASK_OF_SEVERAL) void tasks.run(call, runtime)
  else if (call.target !== actor?.id) void serve(served, call)
  else if (call.mayLack || fetching.size > 0) void takeInTurn(call, actor.executor)
  else begin(call, actor.executor)
}

function begin(call: IncomingCall, executor: Executor): void {
  if (call.method === STOP) void stop(call, executor)
  else void executor.run(call)
}

/** Fetches the arguments of a call that live elsewhere. Calls of the same caller wait for that, those of others do not. */
async function takeInTurn(call: IncomingCall, executor: Executor): Promise<void> {
  const before = fetching.get(call.peer)
  const fetched = call.mayLack ? fetchArguments(runtime, call.args, true) : undefined
  fetched?.catch(() => {})
  const turn = (async () => {
    await before
    try {
      await fetched
    } catch (error) {
      call.fail(error)
      return
    }
    begin(call, executor)
  })()
  fetching.set(call.peer, turn)
  await turn
  if (fetching.get(call.peer) === turn) fetching.delete(call.peer)
}

/** Answers the calls before, and ends this process. */
async function stop(call: IncomingCall, executor: Executor): Promise<void> {
  try {
    await executor.stop()
  } catch (error) {
    console.error(error)
  }
  await handOver()
  await runtime.head.stopping()
  call.reply(null)
  await switchboard.delivered()
  process.exit(0)
}

/** Has those who own results that are held here bring them over. */
async function handOver(): Promise<void> {
  const brought = switchboard.accepted.map(async (peer) => {
    const results = runtime.objects.heldBy(peer.identity.processId)
    if (results.length > 0) await control<CallerDuties>(peer).bring(results)
  })
  const timeout = new Promise<void>((resolve) => {
    setTimeout(resolve, HAND_OVER).unref()
  })
  await Promise.race([Promise.allSettled(brought), timeout])
}

async function load({ module, exportName }: ActorClass): Promise<Class> {
  const namespace = (await import(module)) as Record<string, unknown>
  const actorClass = registeredClass(module, exportName) ?? namespace[exportName]
  if (typeof actorClass === 'function') return actorClass as Class
  throw new InvalidInputError(
    `${module} makes no actor of a class named ${exportName}; call actor(import.meta.url, ${exportName}) in it`,
  )
}
