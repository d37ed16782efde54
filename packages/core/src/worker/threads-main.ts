import { finished } from 'node:stream/promises'
import { Worker } from 'node:worker_threads'
import { WORKER_VARIABLE } from '../node/descendants.js'
import { followParent } from '../node/lifeline.js'
import type { ThreadOrder, ThreadReport } from '../node/thread-group.js'
import { readLines } from '../node/worker-output.js'
import { receiveBoot, type ThreadsBoot, type WorkerSettings } from '../protocol/boot.js'
import { workerTitle } from '../protocol/title.js'
import { Secret } from '../transport/secret.js'
import { NetworkProxy } from './network-proxy.js'
import type { HostRequest } from './thread.js'

// The entry of a process whose threads are workers. Its node tells it over the channel between them what to start and end.

const { parentPid } = receiveBoot<ThreadsBoot>()
process.title = workerTitle('threads')

const threads = new Map<string, Worker>()

function report(message: ThreadReport): void {
  process.send!(message)
}

function start(settings: WorkerSettings): void {
  const { processId } = settings
  const env = { ...process.env, [WORKER_VARIABLE]: processId }
  const options = { workerData: settings, stdout: true, stderr: true, env }
  const thread = new Worker(new URL('main.js', import.meta.url), options)
  const relay = new NetworkProxy(new Secret(settings.secret), (answer) => thread.postMessage(answer))
  threads.set(processId, thread)
  thread.on('message', (request: HostRequest) => relay.take(request))
  for (const name of ['stdout', 'stderr'] as const) {
    readLines(thread[name], (line) => report({ line, of: processId, isError: name === 'stderr' }))
  }
  let error: NodeJS.ErrnoException | undefined
  thread.on('error', (failure: NodeJS.ErrnoException) => {
    error = failure
  })
  thread.on('exit', (code) => {
    threads.delete(processId)
    relay.close()
    // Its last lines come in a little later.
    void Promise.all([finished(thread.stdout), finished(thread.stderr)]).finally(() => {
      report({ ended: processId, code, error: error && `${error.code ?? error.name}: ${error.message}` })
    })
  })
}

process.on('message', (order: ThreadOrder) => {
  if ('start' in order) start(order.start)
  else void threads.get(order.end)?.terminate()
})
await followParent(parentPid)
