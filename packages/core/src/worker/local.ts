import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import type { WorkerSettings } from '../protocol/boot.js'
import { inRuntime } from '../runtime/current.js'
import type { Runtime } from '../runtime/runtime.js'
import { ConnectionManager } from '../transport/connection-manager.js'
import { Worker } from './worker.js'

const locals = new Map<string, Runtime>()

/**
 * Starts a worker in this thread, with connections of its own, so that to the rest of the cluster it is like any other.
 *
 * @param owner the runtime of this thread whose actor it becomes
 */
export async function startLocal(processId: string, owner: Runtime): Promise<void> {
  const { nodeId } = owner.self
  const settings: WorkerSettings = {
    ...owner.cluster,
    ...(await networkOf(owner)),
    processId,
    nodeId,
    secret: owner.connections.secret.text,
  }
  await inRuntime(async (enter) => {
    const connections = new ConnectionManager({ processId, nodeId }, owner.connections.secret, false, owner.connections)
    const worker: Worker = new Worker(settings, connections, {
      exit: () => end(processId),
      name() {},
      equip() {},
      enter() {},
    })
    locals.set(processId, worker.runtime)
    if (owner.directory) worker.runtime.enterDirectory(owner.directory)
    enter(worker.runtime)
    await worker.join().catch((error) => {
      end(processId)
      throw error
    })
  })
}

/** Ends a local worker as a crash would; false if it is none of this thread's. */
export function crashLocal(processId: string): boolean {
  const isOwn = locals.has(processId)
  end(processId)
  return isOwn
}

function end(processId: string): void {
  locals.get(processId)?.close('it was ended')
  locals.delete(processId)
}

async function networkOf({ headEndpoint, network }: Runtime): Promise<Omit<WorkerSettings, keyof ClusterPart>> {
  if (network) return { headEndpoint, ...network }
  if (!headEndpoint.startsWith('tcp:')) return { headEndpoint, host: '127.0.0.1', listens: false }
  const { hostname, port } = new URL(headEndpoint)
  return { headEndpoint, host: await addressTowards(hostname, Number(port)), listens: true }
}

type ClusterPart = Pick<WorkerSettings, 'processId' | 'nodeId' | 'clusterId' | 'head' | 'secret' | 'store'>

/** The address of this machine on the way to another one. */
async function addressTowards(host: string, port: number): Promise<string> {
  const socket = createSocket('udp4')
  try {
    socket.connect(port, host)
    await once(socket, 'connect')
    return socket.address().address
  } finally {
    socket.close()
  }
}
