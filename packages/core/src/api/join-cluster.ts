import type { ChildProcess } from 'node:child_process'
import type { Socket } from 'node:net'
import { fileURLToPath } from 'node:url'
import { ChannelTable } from '../channel/channel-table.js'
import { Deferred } from '../common/deferred.js'
import { ClusterLostError, InvalidInputError, NodeUnreachableError, UnhandledFailureError } from '../common/errors.js'
import type { ActorFailure } from '../common/hooks.js'
import { RunClock, whileRunning } from '../common/run-clock.js'
import { LATE, within } from '../common/timer.js'
import { entryArguments } from '../node/bundle.js'
import { LineWriter } from '../node/line-writer.js'
import { StartRefusal, startProcess } from '../node/start-process.js'
import { parseAddress } from '../protocol/address.js'
import { CLUSTER_VARIABLE, type HeadBoot, sendBoot } from '../protocol/boot.js'
import { loaderFlags } from '../protocol/loader-flags.js'
import { reachHead, unreachable } from '../protocol/reach.js'
import { programName, type RunningCluster, runningClusters } from '../protocol/running-clusters.js'
import { HEAD_TITLE, titleRoom } from '../protocol/title.js'
import { joiningSecret, randomSecret, withoutToken } from '../protocol/token.js'
import { enter } from '../runtime/current.js'
import { type HeadPlace, Runtime } from '../runtime/runtime.js'
import { WorkingDirectory } from '../runtime/working-directory.js'
import { joinStore } from '../store/store.js'
import { ConnectionManager, ipcEndpoint, randomId } from '../transport/connection-manager.js'
import { Secret } from '../transport/secret.js'
import type { ConnectOptions } from './cluster.js'

// How a driver comes into its cluster.

/** Milliseconds that the head of another program's cluster here has to let this one in: it may be stopped, and never do so. */
const JOIN_TIMEOUT = 10_000

/** Writes the lines of this driver's actors that its head sends. */
const output = new LineWriter(process.stderr)

/** Milliseconds of running that the head of a local cluster may take to start. */
const START_TIMEOUT = 60_000
/** Milliseconds that a connection to that head waits: without an end, as its process is waited for. */
const LONGEST = 2 ** 31 - 1

function writeLine(line: string): void {
  output.write(line)
}

/** A driver's share of its cluster, and the head if it has started that itself. */
interface Joined {
  readonly runtime: Runtime
  readonly head: ChildProcess | undefined
}

function driverRuntime(connections: ConnectionManager, place: HeadPlace, options: ConnectOptions): Runtime {
  const { supervise, onFailure: onUnhandled = endByFailure, onLog = writeLine } = options
  return new Runtime(connections, place, { kind: 'driver', onLog, onUnhandled, supervise }, [new ChannelTable()])
}

/** Joins the cluster whose head is at an address. */
export async function joinCluster(address: string, options: ConnectOptions): Promise<Joined> {
  if (address.startsWith('ipc:')) return joinWithinHost(address, options)
  const { namespace, token } = options
  const head = parseAddress(address)
  const secret = joiningSecret(`${head.host}:${head.port}`, token)
  const endpoint = await reachHead(head, secret)
  const id = randomId()
  const connections = new ConnectionManager({ processId: id, nodeId: id }, secret, true)
  const identity = { processId: `head at ${address}`, nodeId: '' }
  const runtime = driverRuntime(connections, { endpoint, identity }, options)
  try {
    await runtime.joinAsDriver(namespace)
    await sendDirectory(runtime, options)
  } catch (error) {
    runtime.close('joining failed')
    throw error instanceof ClusterLostError ? unreachable(head, error) : error
  }
  enter(runtime)
  return { runtime, head: undefined }
}

/** Joins a cluster that another program of this user has started on this machine, on the node of its head. */
async function joinWithinHost(address: string, options: ConnectOptions): Promise<Joined> {
  const cluster = runningClusters().find((running) => running.address === address)
  if (!cluster) {
    throw new InvalidInputError(
      `no cluster of yours runs at ${address} on this machine any more; \`troupe clusters\` names those that do`,
    )
  }
  const { nodeId } = cluster
  const secret = new Secret(cluster.secret.text)
  const connections = new ConnectionManager({ processId: randomId(), nodeId }, secret, true)
  const identity = { processId: `head at ${address}`, nodeId }
  const runtime = driverRuntime(connections, { endpoint: address, identity }, options)
  try {
    await withinTime(runtime.joinAsDriver(options.namespace), cluster)
    await sendDirectory(runtime, options)
  } catch (error) {
    runtime.close('joining failed')
    throw error instanceof ClusterLostError ? noAnswer(cluster, error) : error
  }
  joinStore(runtime.cluster.store)
  enter(runtime)
  return { runtime, head: undefined }
}

/** A process that is stopped accepts connections, and does not answer. */
async function withinTime<T>(answer: Promise<T>, cluster: RunningCluster): Promise<T> {
  const outcome = await within(answer, JOIN_TIMEOUT)
  if (outcome === LATE) throw noAnswer(cluster)
  return outcome
}

function noAnswer({ address, program, pid }: RunningCluster, cause?: Error): NodeUnreachableError {
  return new NodeUnreachableError(
    `the head of the cluster that ${program} (process ${pid}) has started does not answer at ${address}; end that program, or ` +
      'look whether it is stopped',
    { cause },
  )
}

/** Starts a cluster on this host that ends with this process. */
export async function startCluster(options: ConnectOptions): Promise<Joined> {
  const { namespace, resources, onLog, store } = options
  const [clusterId, nodeId, processId] = [randomId(), randomId(), randomId()]
  const nodeFlags = loaderFlags(process.execArgv)
  const secret = randomSecret()
  const driver = randomId()
  const ids = { clusterId, nodeId, processId, secret: secret.text, parentPid: process.pid, driver }
  const program = { name: programName(), pid: process.pid }
  const boot: HeadBoot = { ...ids, program, relaysLines: onLog !== undefined, resources, nodeFlags, store }
  // A session of its own keeps a Ctrl-C in the terminal from the head: it ends when this process does.
  const head = startHead(clusterId)
  head.unref()
  const stdin = head.stdin as Socket
  stdin.on('error', () => {})
  sendBoot(stdin, boot)
  stdin.unref()
  const connections = new ConnectionManager({ processId: driver, nodeId }, secret, true)
  const place = { endpoint: ipcEndpoint(processId), identity: { processId, nodeId }, timeout: LONGEST }
  const runtime = driverRuntime(connections, place, options)
  const failed = new Deferred<never>()
  failed.promise.catch(() => {})
  head.once('error', failed.reject)
  head.once('exit', (code, signal) => {
    failed.reject(new ClusterLostError(`the head ended with ${signal ?? `code ${code}`}`))
  })
  try {
    await whileStarting(head, Promise.race([runtime.joinAsDriver(namespace), failed.promise]))
    await sendDirectory(runtime, options)
  } catch (error) {
    runtime.close('the head did not start')
    head.kill('SIGKILL')
    throw error
  }
  joinStore(runtime.cluster.store)
  enter(runtime)
  return { runtime, head }
}

/** @throws ClusterLostError if the head takes too long */
async function whileStarting<T>({ pid }: ChildProcess, joined: Promise<T>): Promise<T> {
  const clock = pid === undefined ? undefined : new RunClock(pid)
  const outcome = await whileRunning(joined, START_TIMEOUT, () => clock?.look())
  if (outcome !== LATE) return outcome
  throw new ClusterLostError(`the head did not start within ${START_TIMEOUT / 1000} s`)
}

function startHead(clusterId: string): ChildProcess {
  const env = { ...withoutToken(process.env), [CLUSTER_VARIABLE]: clusterId }
  try {
    const arguments_ = [...entryArguments('head/head-main.js'), titleRoom(HEAD_TITLE)]
    return startProcess(arguments_, { detached: true, stdio: ['pipe', 'inherit', 'inherit'], env })
  } catch (error) {
    if (error instanceof StartRefusal) throw new ClusterLostError(`the head was not started: ${error.message}`)
    throw error
  }
}

/** Sends the working directory where the head does not have it, and has what this driver starts run in it. */
async function sendDirectory(runtime: Runtime, { workingDirectory }: ConnectOptions): Promise<void> {
  if (workingDirectory === undefined) return
  const path = workingDirectory instanceof URL ? fileURLToPath(workingDirectory) : workingDirectory
  // Few drivers need it.
  const { packDirectory } = await import('../protocol/packing.js')
  const { id, root, archive } = await packDirectory(path)
  if (await runtime.driverSession.offerDirectory(id)) {
    for await (const bytes of archive()) await runtime.driverSession.sendDirectory(id, bytes)
  }
  await runtime.driverSession.enterDirectory(id)
  runtime.enterDirectory(new WorkingDirectory(root))
}

/** Ends this process as an error does that nothing catches. */
function endByFailure({ name, reason, lines }: ActorFailure): void {
  const error = new UnhandledFailureError(name, reason, lines)
  if (process.listenerCount('uncaughtException') > 0) {
    setImmediate(() => {
      throw error
    })
    return
  }
  process.stderr.write(`${error.name}: ${error.message}\n`)
  process.exit(1)
}
