import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { InvalidInputError } from '@troupe/core'
import type { z } from 'zod'
import type { ClusterSpec, NodeGroup } from './cluster.js'
import type { ModelShape } from './model-shape.js'

const GIGA = 1e9
const TERA = 1e12
const MICRO = 1e6

const require = createRequire(import.meta.url)

/** The schema of a cluster file. Zod takes longer to load than the rest of this package, which rarely reads such a file. */
function makeSchema() {
  const { z } = require('zod') as typeof import('zod')
  const positive = z.number().positive()
  const count = z.number().int().positive()
  const microseconds = z.number().nonnegative()

  const link = z.strictObject({ latencyUs: microseconds, bandwidthGBps: positive })

  const nodes = z.strictObject({
    name: z.string().optional(),
    count: count.default(1),
    devices: count,
    cores: z.boolean().default(false),
    memoryGB: positive,
    bandwidthGBps: positive,
    nodeBandwidthGBps: positive.optional(),
    formats: z
      .record(z.string(), z.strictObject({ tflops: positive, bandwidthGBps: positive.optional() }))
      .refine((formats) => Object.keys(formats).length > 0, 'names no format'),
    attention: z.strictObject({ tflops: positive, bandwidthGBps: positive.optional() }).optional(),
    operationUs: microseconds.default(2),
    link: link.optional(),
  })

  return z.strictObject({
    nodes: z.array(nodes).min(1),
    link: link.extend({ nodeBandwidthGBps: positive.optional() }).optional(),
    dispatchUs: microseconds.default(0),
    stepUs: microseconds.default(0),
  })
}

type Schema = ReturnType<typeof makeSchema>
let schema: Schema | undefined

/** A cluster file: its units are in the names of its fields. */
export type ClusterFile = z.input<Schema>

/**
 * Reads the description of a cluster, which need not exist.
 * @throws InvalidInputError naming the file and the field if it is not one.
 */
export function readClusterFile(path: string): ClusterSpec {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    throw new InvalidInputError(`cannot read the cluster file ${path}: ${(error as Error).message}`)
  }
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch (error) {
    throw new InvalidInputError(`${path} is not JSON: ${(error as Error).message}`)
  }
  return parseCluster(path, json)
}

/**
 * The cluster that a file describes.
 * @throws InvalidInputError naming the file and the field if it is not one.
 */
export function parseCluster(path: string, json: unknown): ClusterSpec {
  schema ??= makeSchema()
  const { data: file, error } = schema.safeParse(json)
  if (error) {
    const [issue] = error.issues
    throw new InvalidInputError(`${path}: ${fieldName(issue!.path)}: ${issue!.message}`)
  }
  const groups = file.nodes.map((group, index) => nodeGroup(group, index, path))
  const hasOthers = groups.reduce((sum, group) => sum + group.count, 0) > 1
  if (hasOthers && !file.link) {
    throw new InvalidInputError(`${path}: link: is missing, which says what connects the nodes`)
  }
  const between = file.link ?? { latencyUs: 0, bandwidthGBps: 1 }
  return {
    nodes: groups,
    link: {
      latency: between.latencyUs / MICRO,
      bandwidth: between.bandwidthGBps * GIGA,
      ...(between.nodeBandwidthGBps ? { nodeBandwidth: between.nodeBandwidthGBps * GIGA } : {}),
    },
    dispatch: file.dispatchUs / MICRO,
    step: file.stepUs / MICRO,
  }
}

function nodeGroup(group: z.output<Schema>['nodes'][number], index: number, path: string): NodeGroup {
  if (group.devices > 1 && !group.link) {
    throw new InvalidInputError(`${path}: nodes[${index}].link: is missing, which says what connects a node's devices`)
  }
  const inside = group.link ?? { latencyUs: 0, bandwidthGBps: group.bandwidthGBps }
  const rate = ({
    tflops,
    bandwidthGBps = group.bandwidthGBps,
  }: {
    tflops: number
    bandwidthGBps?: number | undefined
  }) => ({
    flops: tflops * TERA,
    bandwidth: bandwidthGBps * GIGA,
  })
  const formats = Object.entries(group.formats).map(([name, given]) => [name.toLowerCase(), rate(given)])
  const slowest = Math.min(...Object.values(group.formats).map(({ tflops }) => tflops))
  return {
    name: group.name ?? `nodes ${index + 1}`,
    ...{ count: group.count, devices: group.devices, cores: group.cores },
    ...(group.nodeBandwidthGBps ? { nodeBandwidth: group.nodeBandwidthGBps * GIGA } : {}),
    device: {
      memory: group.memoryGB * GIGA,
      bandwidth: group.bandwidthGBps * GIGA,
      formats: Object.fromEntries(formats),
      attention: rate(group.attention ?? { tflops: slowest }),
      operation: group.operationUs / MICRO,
    },
    link: { latency: inside.latencyUs / MICRO, bandwidth: inside.bandwidthGBps * GIGA },
  }
}

/** The file that describes a cluster. */
export function clusterFile({ nodes, link, dispatch, step }: ClusterSpec): ClusterFile {
  const rate = ({ flops, bandwidth }: { flops: number; bandwidth: number }) => ({
    tflops: flops / TERA,
    bandwidthGBps: bandwidth / GIGA,
  })
  const linkOf = ({ latency, bandwidth }: { latency: number; bandwidth: number }) => ({
    latencyUs: latency * MICRO,
    bandwidthGBps: bandwidth / GIGA,
  })
  return {
    nodes: nodes.map(({ name, count, devices, cores, nodeBandwidth, device, link }) => ({
      ...{ name, count, devices, cores },
      memoryGB: device.memory / GIGA,
      bandwidthGBps: device.bandwidth / GIGA,
      ...(nodeBandwidth ? { nodeBandwidthGBps: nodeBandwidth / GIGA } : {}),
      formats: Object.fromEntries(Object.entries(device.formats).map(([format, found]) => [format, rate(found)])),
      attention: rate(device.attention),
      operationUs: device.operation * MICRO,
      link: linkOf(link),
    })),
    link: {
      ...linkOf(link),
      ...(link.nodeBandwidth ? { nodeBandwidthGBps: link.nodeBandwidth / GIGA } : {}),
    },
    dispatchUs: dispatch * MICRO,
    stepUs: step * MICRO,
  }
}

/**
 * Checks that a cluster's devices have a rate for each format of a model's weights.
 * @throws InvalidInputError naming the node and the format.
 */
export function checkFormats(cluster: ClusterSpec, model: ModelShape, source: string): void {
  const needed = [model.attention, model.feedForward, model.embedding, model.head].map(({ name }) => name)
  for (const [index, group] of cluster.nodes.entries()) {
    const lacking = needed.find((name) => !(name in group.device.formats))
    if (lacking === undefined) continue
    const known = Object.keys(group.device.formats).join(', ')
    throw new InvalidInputError(
      `${source}: nodes[${index}].formats: lacks ${lacking}, which weights of the model are in; it has ${known}`,
    )
  }
}

/** `nodes[0].link.latencyUs`. */
function fieldName(path: readonly PropertyKey[]): string {
  if (path.length === 0) return 'the file'
  return path
    .map((key) => (typeof key === 'number' ? `[${key}]` : `.${String(key)}`))
    .join('')
    .replace(/^\./, '')
}
