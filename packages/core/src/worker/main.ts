import '../index.js'
import { isMainThread } from 'node:worker_threads'
import { followParent } from '../node/lifeline.js'
import { receiveBoot, type WorkerBoot } from '../protocol/boot.js'
import { visibleDevices } from '../protocol/resources.js'
import { workerTitle } from '../protocol/title.js'
import { enter } from '../runtime/current.js'
import { observeWaits } from '../runtime/ref.js'
import { tune } from '../runtime/tuning.js'
import { joinStore } from '../store/store.js'
import { ConnectionManager } from '../transport/connection-manager.js'
import { useNetwork } from '../transport/network.js'
import { Secret } from '../transport/secret.js'
import { networkOfHost, threadSettings } from './thread.js'
import { Worker, type WorkerHost } from './worker.js'

// The entry of a worker that is a process or a thread.

/** Pieces of output that a thread sends when it exits. */
const MOST_PIECES = 1000

/** Milliseconds that the report of a fatal error may take. */
const LAST_REPORT = 500

const processHost: WorkerHost = {
  exit: (code) => process.exit(code),
  name: (name) => {
    process.title = workerTitle(name)
  },
  equip: (gpus) => {
    process.env.CUDA_VISIBLE_DEVICES = visibleDevices(gpus, nodesDevices)
  },
  enter: (folder) => process.chdir(folder),
}

/**
 * Makes what is written to pipes leave at once: they are asynchronous, and what is still to be written is lost when the process
 * exits. Node.js has no other way.
 */
function writeAtOnce(): void {
  for (const stream of [process.stdout, process.stderr]) {
    const { _handle: handle } = stream as { _handle?: { setBlocking?(isBlocking: boolean): void } }
    handle?.setBlocking?.(true)
  }
}

/**
 * Has what a thread has still to write leave when it exits: Node.js 20.19 sends a piece at a time, when the one before has been
 * read, and drops the rest. The name of the method that sends the next one is a symbol of Node.js's own.
 */
function writeAtExit(): void {
  process.on('exit', () => {
    for (const stream of [process.stdout, process.stderr]) {
      const names = Object.getOwnPropertySymbols(Object.getPrototypeOf(stream))
      const next = names.find(({ description }) => description === 'kStdioWantsMoreDataCallback')
      if (next === undefined) continue
      const sending = stream as unknown as Record<symbol, () => void>
      for (let pieces = 0; pieces < MOST_PIECES && stream.writableLength > 0; pieces++) sending[next]!()
    }
  })
}

/** A thread shares its title, its GPUs and its folder with the others of its process. */
const threadHost: WorkerHost = { exit: (code) => process.exit(code), name() {}, equip() {}, enter() {} }

/** The GPUs that the node was given, where not all of its host's. */
const nodesDevices = process.env.CUDA_VISIBLE_DEVICES

let following: Promise<void> | undefined

function processSettings(): WorkerBoot {
  const boot = receiveBoot<WorkerBoot>()
  process.title = 'troupe worker'
  writeAtOnce()
  following = followParent(boot.parentPid)
  return boot
}

tune()

const settings = isMainThread ? processSettings() : threadSettings()
if (!isMainThread) {
  useNetwork(networkOfHost)
  writeAtExit()
}

joinStore(settings.store)

const connections = new ConnectionManager(
  { processId: settings.processId, nodeId: settings.nodeId },
  new Secret(settings.secret),
)
const worker = new Worker(settings, connections, isMainThread ? processHost : threadHost)
observeWaits((ref) => worker.waitsFor(ref))
// Before any module is imported: one that connects when it is imported must find that this is a worker.
enter(worker.runtime)

await following
// Until then no code of others runs here, and a failure to join ends this process with its reason on stderr.
await worker.join()

process.on('uncaughtException', (error) => {
  console.error(error)
  process.exitCode = 1
  setTimeout(() => process.exit(1), LAST_REPORT)
  void worker.runtime.workerSession.failing(error).finally(() => process.exit(1))
})
