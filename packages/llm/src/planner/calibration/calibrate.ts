import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, renameSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { type Cluster, communicator, InvalidInputError, killActor, type NodeInfo } from '@troupe/core'
import { FORMATS, type FormatName } from '../../weights/formats.js'
import type { ClusterSpec, LinkSpec, NodeGroup } from '../cluster.js'
import { clusterFile, readClusterFile } from '../cluster-file.js'
import type { ModelShape } from '../model-shape.js'
import { type Measured, RemoteCalibrator } from './calibrator.js'

/** The share of a host's memory that workers may take. */
const USABLE = 0.9
/** Calls that the round trip to an actor is the median of. */
const ROUND_TRIPS = 101

/** A calibration, and where it is kept. */
export interface Calibration {
  cluster: ClusterSpec
  path: string
  isCached: boolean
}

/**
 * Measures the nodes of a cluster for a model: products with weights of its formats, attention of its heads, all-reduces
 * within a node and between two, and the round trip to an actor. Takes some seconds, in which nothing else should run. What
 * was measured is kept as a cluster file in ~/.troupe/calibration and taken from there the next time.
 * @param again Whether to measure also if there is such a file.
 */
export async function calibrate(cluster: Cluster, model: ModelShape, again = false): Promise<Calibration> {
  const nodes = await cluster.nodes()
  const path = cachePath(nodes, model)
  if (!again && existsSync(path)) return { cluster: readClusterFile(path), path, isCached: true }
  const spec = await measureCluster(nodes, model)
  mkdirSync(join(path, '..'), { recursive: true })
  const written = `${path}.${process.pid}`
  writeFileSync(written, `${JSON.stringify(clusterFile(spec), undefined, 2)}\n`)
  renameSync(written, path)
  return { cluster: spec, path, isCached: false }
}

function cachePath(nodes: readonly NodeInfo[], model: ModelShape): string {
  const hosts = nodes.map(({ host, cpus }) => [host, cpus])
  const { layers, hiddenSize, intermediateSize, heads, keyValueHeads, headSize } = model
  const shape = [layers, hiddenSize, intermediateSize, heads, keyValueHeads, headSize]
  const text = JSON.stringify([hosts, shape, formatsOf(model)])
  const key = createHash('sha256').update(text).digest('hex').slice(0, 16)
  return join(homedir(), '.troupe', 'calibration', `${key}.json`)
}

function formatsOf(model: ModelShape): FormatName[] {
  const kinds = [model.attention, model.feedForward, model.embedding, model.head]
  const names = new Set(kinds.map(({ name }) => name.toUpperCase()))
  return [...names].map((name) => {
    if (Object.hasOwn(FORMATS, name)) return name as FormatName
    throw new InvalidInputError(`weights in ${name} cannot be measured; plan with a cluster file`)
  })
}

async function measureCluster(nodes: readonly NodeInfo[], model: ModelShape): Promise<ClusterSpec> {
  const spawn = (nodeId: string) => RemoteCalibrator.options({ nodeId }).spawn()
  const actors = await Promise.all(nodes.map(({ id }) => spawn(id)))
  const second = await spawn(nodes[0]!.id)
  try {
    const measured = await Promise.all(actors.map((calibrator) => calibrator.rates(formatsOf(model), model)))
    const step = await roundTrip(actors[0]!)
    const inside = await linkOf(actors[0]!, second)
    const between = actors[1] ? await linkOf(actors[0]!, actors[1]) : inside
    return {
      nodes: measured.map((node, index) => groupOf(nodes[index]!, node, inside)),
      link: { ...between, nodeBandwidth: between.bandwidth },
      dispatch: 0,
      step,
    }
  } finally {
    await Promise.allSettled([...actors, second].map((calibrator) => killActor(calibrator)))
  }
}

type Handle = Awaited<ReturnType<typeof RemoteCalibrator.spawn>>

async function linkOf(first: Handle, other: Handle): Promise<LinkSpec> {
  const invitation = communicator([first, other], { name: 'calibration' })
  const [link] = await Promise.all([first.link(invitation), other.link(invitation)])
  return link
}

async function roundTrip(calibrator: Handle): Promise<number> {
  const times: number[] = []
  for (let i = 0; i < ROUND_TRIPS; i++) {
    const began = performance.now()
    await calibrator.answer([i])
    times.push((performance.now() - began) / 1000)
  }
  return times.sort((a, b) => a - b)[ROUND_TRIPS >> 1]!
}

function groupOf({ host, cpus }: NodeInfo, measured: Measured, link: LinkSpec): NodeGroup {
  const { alone, together, attention, operation, memory, cores } = measured
  const all = Object.entries(together)
  const fastest = Math.max(...Object.values(alone).map(({ bandwidth }) => bandwidth))
  return {
    name: host,
    count: 1,
    devices: cpus,
    cores: true,
    nodeBandwidth: Math.max(...all.map(([, { bandwidth }]) => bandwidth), attention.bandwidth),
    device: {
      memory: (USABLE * memory) / cores,
      bandwidth: Math.max(fastest, attention.bandwidth),
      // Under nearly every plan all cores are busy in products of many tokens.
      formats: Object.fromEntries(
        all.map(([name, { flops }]) => [name, { flops: flops / cores, bandwidth: alone[name]!.bandwidth }]),
      ),
      attention,
      operation,
    },
    link,
  }
}
