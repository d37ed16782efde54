import { availableParallelism } from 'node:os'
import { actor, type Invitation } from '@troupe/core'
import { memoryOfHost } from '@troupe/core/cluster'
import type { FormatName } from '../../weights/formats.js'
import type { LinkSpec, Rate } from '../cluster.js'
import { type MeasuredShape, measureAttention, measureLink, measureOperation, measureProducts } from './measure.js'

/** Rates of one thread, and of all threads of a node together. */
export interface Measured {
  cores: number
  memory: number
  alone: Readonly<Record<string, Rate>>
  together: Readonly<Record<string, Rate>>
  attention: Rate
  operation: number
}

/** Measures the node that it lives on. */
export class Calibrator {
  async rates(formats: readonly FormatName[], shape: MeasuredShape): Promise<Measured> {
    const cores = availableParallelism()
    const alone: Record<string, Rate> = {}
    const together: Record<string, Rate> = {}
    for (const format of formats) {
      const name = format.toLowerCase()
      alone[name] = await measureProducts(format, shape, 1)
      together[name] = cores === 1 ? alone[name] : await measureProducts(format, shape, cores)
    }
    return {
      ...{ cores, memory: memoryOfHost(), alone, together },
      attention: await measureAttention(shape, 1),
      operation: await measureOperation(cores),
    }
  }

  /** Measures the link to the other member of a group; both are called. */
  async link(invitation: Invitation): Promise<LinkSpec> {
    const group = await invitation.join()
    try {
      return await measureLink(group)
    } finally {
      await group.close()
    }
  }

  /** Answers at once, as a worker's step does but for the step. */
  answer(positions: number[]): number {
    return positions.length
  }
}

export const RemoteCalibrator = actor(import.meta.url, Calibrator)
