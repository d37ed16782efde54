import fc from 'fast-check'
import { type ClusterSpec, countDevices, type NodeGroup } from '../planner/cluster.js'
import type { ModelShape } from '../planner/model-shape.js'
import type { Workload } from '../planner/workload.js'

const f16 = { name: 'f16', bytesPerWeight: 2, block: 1 }

/** A number between two, every order of magnitude as likely. */
const about = (low: number, high: number) =>
  fc.double({ min: Math.log(low), max: Math.log(high), noNaN: true }).map(Math.exp)

/** Models of a few layers. */
export const models: fc.Arbitrary<ModelShape> = fc
  .record({
    layers: fc.integer({ min: 2, max: 6 }),
    groups: fc.constantFrom(1, 2, 4),
    width: fc.constantFrom(1, 4, 16),
  })
  .map(({ layers, groups, width }) => ({
    layers,
    hiddenSize: 256 * width,
    intermediateSize: 704 * width,
    heads: 8,
    keyValueHeads: 8 / groups,
    headSize: 32 * width,
    vocabularySize: 8000 * width,
    tiedEmbeddings: false,
    slidingWindow: Number.POSITIVE_INFINITY,
    slidingLayers: 0,
    attention: f16,
    feedForward: f16,
    embedding: f16,
    head: f16,
    activationBytes: 4,
    cacheBytes: 4,
  }))

/** Nodes that are alike. */
export const groups: fc.Arbitrary<NodeGroup> = fc
  .record({
    count: fc.integer({ min: 1, max: 3 }),
    devices: fc.constantFrom(1, 2, 3, 4),
    cores: fc.boolean(),
    memory: about(0.2e9, 20e9),
    bandwidth: about(1e10, 2e12),
    flops: about(1e11, 1e15),
    latency: about(1e-6, 1e-4),
    link: about(1e9, 3e11),
    operation: about(1e-7, 1e-5),
  })
  .map(({ count, devices, cores, memory, bandwidth, flops, latency, link, operation }) => ({
    name: `${count}x${devices}${cores ? ' cores' : ''} ${bandwidth.toExponential(2)}`,
    ...{ count, devices, cores },
    device: {
      memory,
      bandwidth,
      formats: { f16: { flops, bandwidth } },
      attention: { flops: flops / 2, bandwidth },
      operation,
    },
    ...(cores ? { nodeBandwidth: bandwidth * devices * 0.7 } : {}),
    link: { latency, bandwidth: link },
  }))

/** Clusters of up to ten devices. */
export const clusters: fc.Arbitrary<ClusterSpec> = fc
  .record({
    nodes: fc.array(groups, { minLength: 1, maxLength: 2 }),
    latency: about(1e-5, 1e-3),
    bandwidth: about(1e8, 5e10),
    step: about(1e-5, 1e-3),
  })
  .map(({ nodes, latency, bandwidth, step }) => ({ nodes, link: { latency, bandwidth }, dispatch: 0, step }))
  .filter((cluster) => countDevices(cluster) <= 10)

/** Requests, few or many, of any length. */
export const workloads: fc.Arbitrary<Workload> = fc.record({
  promptTokens: fc.constantFrom(64, 1000, 16_000),
  outputTokens: fc.constantFrom(1, 100, 1000),
  concurrency: fc.integer({ min: 1, max: 12 }),
  chunkTokens: fc.constantFrom(512, 8192),
  cachedTokens: fc.constant(0),
  objective: fc.constantFrom('latency', 'throughput'),
})
