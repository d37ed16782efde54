import type { Communicator } from '@troupe/tensor'

/** One worker's place along one dimension of the mesh; `communicator` is set where there is more than one. */
export interface RankGroup {
  rank: number
  size: number
  communicator?: Communicator
}

/** One worker's place in a plan. */
export interface Groups {
  pipeline: RankGroup
  tensor: RankGroup
  sequence: RankGroup
}

/**
 * The communicator of a group of more than one.
 * @throws Error if it has not been connected.
 */
export function communicatorOf(group: RankGroup): Communicator {
  if (group.communicator) return group.communicator
  throw new Error('a group of several ranks needs a communicator before layers are traced')
}
