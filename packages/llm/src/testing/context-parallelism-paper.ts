import type { ClusterSpec } from '../planner/cluster.js'
import type { ModelShape } from '../planner/model-shape.js'

const bf16 = { name: 'bf16', bytesPerWeight: 2, block: 1 }
const fp8 = { name: 'fp8', bytesPerWeight: 1, block: 1 }

/** Llama 3 405B as "Context Parallelism for Scalable Million-Token Inference" (arXiv 2411.01783v3) ran it: table 9, section 4.1. */
export const llama405B: ModelShape = {
  layers: 126,
  hiddenSize: 16_384,
  intermediateSize: 53_248,
  heads: 128,
  keyValueHeads: 8,
  headSize: 128,
  vocabularySize: 128_256,
  tiedEmbeddings: false,
  slidingWindow: Number.POSITIVE_INFINITY,
  slidingLayers: 0,
  attention: bf16,
  feedForward: fp8,
  embedding: bf16,
  head: bf16,
  activationBytes: 2,
  cacheBytes: 2,
}

/**
 * The paper's hosts of eight H100. From the paper: 96 GB and 2.4 TB/s of memory (section 4.1), 800 TFLOP/s of bfloat16 of
 * which FP8 has twice as much, attention at 540 TFLOP/s (appendix A); between hosts 26 GB/s (table 5: 16.4 MB in 627 µs)
 * and 33 µs a message (table 8). Fitted to its one-host figures for 8K tokens (table 6): the 54 % of
 * the peak that products reach, the 80 % of the memory's bandwidth, and 7 µs an operation. Fitted between its two-host figure for
 * 8K tokens (table 6) and its four-host one for 1 % of new tokens (table 4): the dispatch. Not from the paper: that a link within
 * a host reaches 320 of NVLink's 450 GB/s, at 5 µs a message.
 */
export function grandTeton(hosts: number): ClusterSpec {
  const reached = 0.8 * 2.4e12
  return {
    nodes: [
      {
        name: 'Grand Teton',
        count: hosts,
        devices: 8,
        cores: false,
        device: {
          memory: 96e9,
          bandwidth: reached,
          formats: {
            bf16: { flops: 0.54 * 800e12, bandwidth: reached },
            fp8: { flops: 0.54 * 1600e12, bandwidth: reached },
          },
          attention: { flops: 540e12, bandwidth: reached },
          operation: 7e-6,
        },
        link: { latency: 5e-6, bandwidth: 320e9 },
      },
    ],
    link: { latency: 33e-6, bandwidth: 26e9 },
    dispatch: 0.65e-3,
    step: 0,
  }
}

/** A run of the paper: hosts with eight shards each, or all of them shards; times in seconds. */
export interface PaperCase {
  source: string
  tokens: number
  cached?: number
  /** Context-parallel ranks, and tensor-parallel ones. */
  sequence: number
  tensor: number
  timeToFirstToken?: number
  timePerToken?: number
}

const K = 1024

export const paperCases: readonly PaperCase[] = [
  { source: 'table 6', tokens: 8 * K, sequence: 1, tensor: 8, timeToFirstToken: 1.74, timePerToken: 0.04451 },
  { source: 'table 6', tokens: 32 * K, sequence: 1, tensor: 8, timeToFirstToken: 7.658, timePerToken: 0.04464 },
  { source: 'table 6', tokens: 128_000, sequence: 1, tensor: 8, timeToFirstToken: 42.01, timePerToken: 0.04626 },
  { source: 'table 6', tokens: 8 * K, sequence: 2, tensor: 8, timeToFirstToken: 0.999, timePerToken: 0.06561 },
  { source: 'table 6', tokens: 32 * K, sequence: 2, tensor: 8, timeToFirstToken: 4.015, timePerToken: 0.06566 },
  { source: 'table 6', tokens: 128_000, sequence: 2, tensor: 8, timeToFirstToken: 21.042, timePerToken: 0.06663 },
  { source: 'table 7', tokens: 128_000, sequence: 2, tensor: 8, timePerToken: 0.06023 },
  { source: 'table 7', tokens: 128_000, sequence: 1, tensor: 16, timeToFirstToken: 29.917, timePerToken: 0.03952 },
  { source: 'table 7', tokens: 128_000, sequence: 4, tensor: 8, timeToFirstToken: 10.95, timePerToken: 0.07131 },
  { source: 'table 7', tokens: 128_000, sequence: 1, tensor: 32, timeToFirstToken: 19.841, timePerToken: 0.0473 },
  { source: 'section 4.2.1', tokens: 128_000, sequence: 8, tensor: 8, timeToFirstToken: 5.85 },
  { source: 'section 4.2.3', tokens: 128_000, sequence: 16, tensor: 8, timeToFirstToken: 3.8 },
  { source: 'section 4.2.3', tokens: 1_000_000, sequence: 16, tensor: 8, timeToFirstToken: 77 },
  ...[
    [126_720, 0.89871],
    [124_800, 1.04643],
    [123_840, 1.2801],
    [121_600, 1.30201],
    [115_200, 2.08067],
    [102_400, 3.35302],
    [89_600, 4.62923],
    [76_800, 5.74508],
    [64_000, 6.84521],
    [51_200, 7.89035],
    [38_400, 8.69727],
    [25_600, 10.10578],
    [12_800, 11.1364],
    [0, 11.46215],
  ].map(([cached, timeToFirstToken]) => ({
    source: 'table 4, the faster way',
    tokens: 128_000,
    cached: cached!,
    sequence: 4,
    tensor: 8,
    timeToFirstToken: timeToFirstToken!,
  })),
]
