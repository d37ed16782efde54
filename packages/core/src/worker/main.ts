import '../index.js'
import { registeredClass } from '../api/actor.js'
import { InvalidInputError } from '../api/errors.js'
import { WORKER_VARIABLE, type WorkerBoot } from '../cluster/boot.js'
import { followParent } from '../cluster/lifeline.js'
import {
  type ActorClass,
  type ActorSpec,
  STOP,
  TASK,
  type WorkerDuties,
  type WorkerRequests,
} from '../cluster/protocol.js'
import { workerTitle } from '../cluster/title.js'
import { GraphParts } from '../graph/parts.js'
import { enter, Runtime } from '../runtime/runtime.js'
import { joinStore } from '../store/store.js'
import { serve } from '../transport/control.js'
import type { IncomingCall } from '../transport/incoming-call.js'
import { unseal } from '../transport/sealed.js'
import { ipcEndpoint, Switchboard } from '../transport/switchboard.js'
import { Executor } from './executor.js'
import { TaskRunner } from './task-runner.js'

type Class = new (...args: unknown[]) => object

/** Milliseconds that the report of a fatal error may take. */
const LAST_REPORT = 500

const boot = JSON.parse(process.env[WORKER_VARIABLE] ?? '') as WorkerBoot
delete process.env[WORKER_VARIABLE]
process.title = 'troupe worker'
joinStore(boot.store)
const following = followParent(boot.parentPid)

/** The GPUs that the node was given, where not all of its host's. */
const visibleGpus = process.env.CUDA_VISIBLE_DEVICES?.split(',')

let actor: { readonly id: string; readonly executor: Executor; readonly loaded: Promise<Class> } | undefined

const tasks = new TaskRunner()
const graphs = new GraphParts((method) => {
  if (!actor) throw new InvalidInputError('this worker has not become an actor')
  return actor.executor.bind(method)
})

const duties: WorkerDuties = {
  become,
  equip,
  supervise: async (failure) => actor?.executor.supervise?.(failure),
  idle: () => tasks.idle(),
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
runtime.cluster = { clusterId: boot.clusterId, head: boot.head, store: boot.store }
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
  const served = {
    ...requests,
    ...runtime.servedTo(processId),
    ...runtime.channels.served,
    ...graphs.servedTo(processId),
  }
  const lost = () => {
    runtime.objects.holderGone(processId)
    graphs.driverGone(processId)
  }
  return { prepare, call: (call) => take(call, served), lost }
})
runtime.address = { processId: boot.processId, nodeId: boot.nodeId, ipc: ipcEndpoint(boot.processId), tcp: tcpEndpoint }
await following
await runtime.head.joinWorker({ pid: process.pid, tcp: tcpEndpoint })

function equip(gpus: readonly number[]): void {
  if (gpus.length === 0) return
  const own = visibleGpus === undefined ? gpus : gpus.map((index) => visibleGpus[index])
  process.env.CUDA_VISIBLE_DEVICES = own.join(',')
}

function become({ actorId, name, actorClass, concurrency, coordinates, dimensions, rank, gpus }: ActorSpec): void {
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
  runtime.isSupervising = () => executor.supervise !== undefined
  actor = { id: actorId, executor, loaded }
}

/** Modules register codecs, so that arguments can only be decoded once those of the actor or the task are loaded. */
function prepare(target: string, method: string): Promise<unknown> | undefined {
  if (target === TASK) return tasks.prepare(method)
  return method === ('construct' satisfies keyof WorkerRequests) && target === '' ? actor?.loaded : undefined
}

async function constructing(args: unknown[], restart?: { restarts: number; reason: string }): Promise<void> {
  if (!actor) throw new InvalidInputError('this worker has not become an actor')
  const { executor, loaded } = actor
  await executor.construct(() => loaded, args, restart)
}

function take(call: IncomingCall, served: object): void {
  if (call.target === TASK) void tasks.run(call)
  else if (call.target !== actor?.id) void serve(served, call)
  else if (call.method === STOP) void stop(call, actor.executor)
  else void actor.executor.run(call)
}

/** Answers the calls before, and ends this process. */
async function stop(call: IncomingCall, executor: Executor): Promise<void> {
  try {
    await executor.stop()
  } catch (error) {
    console.error(error)
  }
  await runtime.head.stopping()
  call.reply(null)
  await switchboard.delivered()
  process.exit(0)
}

async function load({ module, exportName }: ActorClass): Promise<Class> {
  const namespace = (await import(module)) as Record<string, unknown>
  const actorClass = registeredClass(module, exportName) ?? namespace[exportName]
  if (typeof actorClass === 'function') return actorClass as Class
  throw new InvalidInputError(
    `${module} makes no actor of a class named ${exportName}; call actor(import.meta.url, ${exportName}) in it`,
  )
}
