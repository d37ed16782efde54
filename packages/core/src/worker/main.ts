import { registeredClass } from '../api/actor.js'
import { InvalidInputError } from '../api/errors.js'
import { WORKER_VARIABLE, type WorkerBoot } from '../cluster/boot.js'
import { followParent } from '../cluster/lifeline.js'
import { STOP, type WorkerRequests } from '../cluster/protocol.js'
import { workerTitle } from '../cluster/title.js'
import { enter, Runtime } from '../runtime/runtime.js'
import { serve } from '../transport/control.js'
import type { IncomingCall } from '../transport/incoming-call.js'
import { ipcEndpoint, Switchboard } from '../transport/switchboard.js'
import { Executor } from './executor.js'

type Class = new (...args: unknown[]) => object

const boot = JSON.parse(process.env[WORKER_VARIABLE] ?? '') as WorkerBoot
delete process.env[WORKER_VARIABLE]
process.title = workerTitle(boot.name)
const following = followParent(boot.parentPid)

const switchboard = new Switchboard({ processId: boot.processId, nodeId: boot.nodeId })
const executor = new Executor(boot.name)
const runtime = new Runtime(switchboard, boot.headEndpoint, boot.head, {
  onHeadLost: () => process.exit(1),
})
runtime.cluster = { clusterId: boot.clusterId, head: boot.head }
runtime.actor = {
  id: boot.actorId,
  name: boot.name,
  pid: process.pid,
  nodeId: boot.nodeId,
  host: boot.host,
  ...(boot.coordinates && { coordinates: boot.coordinates, dimensions: boot.dimensions ?? {}, rank: boot.rank ?? 0 }),
}
// Before the module is imported: a module that connects when it is imported must find that this is a worker.
enter(runtime)
const loaded = load(boot.actorClass)
loaded.catch(() => {})

const requests: WorkerRequests = {
  construct: (args) => executor.construct(() => loaded, args),
}

const tcp = boot.listens ? [`tcp://${boot.host}:*`] : []
const [, tcpEndpoint] = await switchboard.listen([ipcEndpoint(boot.processId), ...tcp], () => ({ call: take }))
await following
await runtime.head.joinWorker({ pid: process.pid, tcp: tcpEndpoint })

function take(call: IncomingCall): void {
  if (call.target !== boot.actorId) void serve(requests, call)
  else if (call.method === STOP) void stop(call)
  else void executor.run(call)
}

/** Answers the calls before, and ends this process. */
async function stop(call: IncomingCall): Promise<void> {
  await executor.drained()
  await runtime.head.stopping()
  call.reply(null)
  await switchboard.delivered()
  process.exit(0)
}

async function load({ module, exportName }: WorkerBoot['actorClass']): Promise<Class> {
  const namespace = (await import(module)) as Record<string, unknown>
  const actorClass = registeredClass(module, exportName) ?? namespace[exportName]
  if (typeof actorClass === 'function') return actorClass as Class
  throw new InvalidInputError(
    `${module} makes no actor of a class named ${exportName}; call actor(import.meta.url, ${exportName}) in it`,
  )
}
