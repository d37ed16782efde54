import type { Cluster } from '@troupe/core'
import type { Figure } from '../benchmark.js'
import type { Sizes } from './parallel.js'
export async function* sequenceDecode(_cluster: Cluster, _sizes: Sizes): AsyncGenerator<Figure> {}
